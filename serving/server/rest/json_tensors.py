"""Tensors from JSON: the row format (``instances``) and the columnar one (``inputs``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import predict_pb2

from serving.server.rest.json_shown import pretty
from serving.server.rest.json_values import FLOATS, INTS, bad_request, flat_values, is_base64, shape_of
from serving.server.status import StatusError

Dtypes = Mapping[str, int]


def fill_inputs(document: dict[str, Any], dtypes: Dtypes, request: predict_pb2.PredictRequest) -> bool:
    """Fills ``request.inputs`` from ``document``; gives whether it was in the row format.

    Raises:
        StatusError: ``INVALID_ARGUMENT`` where the values do not make tensors of these inputs, ``UNIMPLEMENTED`` for
            dtypes JSON has no values for.
    """
    is_row, is_columnar = "instances" in document, "inputs" in document
    if is_row and is_columnar:
        raise _shown(document, "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist ")
    if not (is_row or is_columnar):
        raise bad_request("Missing 'inputs' or 'instances' key")
    columns = _from_rows(document, dtypes) if is_row else _from_columns(document["inputs"], dtypes)
    for alias, column in columns.items():
        column.write(request.inputs[alias])
    return is_row


class _Column:
    """The values of one input so far, flat, with the shape of what was put in first."""

    def __init__(self, dtype: int) -> None:
        self.dtype = dtype
        self.values: list[Any] = []
        self.shape: list[int] = []
        self.n_rows: int | None = None

    def put(self, value: Any) -> None:
        """Makes ``value`` the whole tensor."""
        self.shape = shape_of(value)
        self.values += flat_values(value, self.shape, self.dtype)

    def add_row(self, value: Any) -> None:
        """Adds ``value`` as one row; ``StatusError`` where it has not as many values as the first."""
        shape = shape_of(value)
        flat = flat_values(value, shape, self.dtype)
        self.values += flat
        n_values = len(flat)
        if self.n_rows is None:
            self.n_rows, self.shape, self._n_values = 0, shape, n_values
        elif n_values != self._n_values:
            raise bad_request(f"Expecting tensor size: {self._n_values} but got: {n_values}")
        self.n_rows += 1

    def write(self, proto: tensor_pb2.TensorProto) -> None:
        """Writes the tensor into ``proto``."""
        proto.dtype = self.dtype  # type: ignore[assignment]
        proto.tensor_shape.SetInParent()
        for size in (*(() if self.n_rows is None else (self.n_rows,)), *self.shape):
            proto.tensor_shape.dim.add().size = size
        if self.dtype == types_pb2.DT_STRING:
            proto.string_val.extend(self.values)
        elif self.values:
            with np.errstate(over="ignore"):
                made = np.array(self.values, FLOATS.get(self.dtype) or INTS.get(self.dtype, np.bool_))
            proto.tensor_content = made.tobytes()


def _from_rows(document: dict[str, Any], dtypes: Dtypes) -> dict[str, _Column]:
    rows = document["instances"]
    if not isinstance(rows, list):
        raise _shown(document, "Expecting 'instances' to be an list/array")
    if not rows:
        raise _shown(document, "No values in 'instances' array")
    are_objects = _is_object(rows[0])
    if not are_objects and len(dtypes) > 1:
        raise bad_request(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    columns = {alias: _Column(dtype) for alias, dtype in dtypes.items()}
    for position, row in enumerate(rows):
        if are_objects and not _is_object(row):
            raise bad_request(f"Expecting object but got list at item {position} of input list")
        if not are_objects and _is_object(row):
            raise bad_request(f"Expecting value/list but got object at item {position} of input list")
        if are_objects:
            _add_object(position, row, columns)
        else:
            _framed(f"Failed to process element: {position} of", next(iter(columns.values())).add_row, row)
    return columns


def _add_object(position: int, row: dict[str, Any], columns: dict[str, _Column]) -> None:
    for key, value in row.items():
        frame = f"Failed to process element: {position} key: {key} of"
        if key not in columns:
            raise bad_request(
                f"{frame} 'instances' list. Error: INVALID_ARGUMENT: JSON object: does not have named input: {key}"
            )
        _framed(frame, columns[key].add_row, value)
    if row.keys() != columns.keys():
        raise bad_request(
            f"Failed to process element: {position} of 'instances' list. JSON object: {pretty(row)} keys must be equal "
            f"to: {','.join(sorted(columns))}"
        )


def _framed(frame: str, add: Callable[[Any], None], value: Any) -> None:
    try:
        add(value)
    except StatusError as error:
        raise StatusError(error.code.name, f"{frame} 'instances' list. Error: {error}") from error


def _from_columns(inputs: Any, dtypes: Dtypes) -> dict[str, _Column]:
    if not _is_object(inputs):
        if len(dtypes) > 1:
            raise bad_request(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        inputs = dict.fromkeys(dtypes, inputs)
    columns = {}
    for alias in sorted(dtypes):
        if alias not in inputs:
            raise bad_request(f"Missing named input: {alias} in 'inputs' object.")
        columns[alias] = _Column(dtypes[alias])
        columns[alias].put(inputs[alias])
    return columns


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def _shown(document: Any, message: str) -> StatusError:
    return bad_request(f"JSON Value: {pretty(document)} {message}")

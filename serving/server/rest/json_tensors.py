"""Tensors from JSON: the row format (``instances``) and the columnar one (``inputs``)."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

import numpy as np
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import predict_pb2

from serving.server.rest.json_text import pretty, to_bytes, type_name
from serving.server.run import tensors
from serving.server.status import StatusError

B64 = "b64"
_WHITE_SPACE, _PADDING = b" \t\n\v\f\r", b"=."
_FLOATS: dict[int, Any] = {types_pb2.DT_FLOAT: np.float32, types_pb2.DT_DOUBLE: np.float64}
_INTS: dict[int, Any] = {
    types_pb2.DT_INT8: np.int8,
    types_pb2.DT_INT16: np.int16,
    types_pb2.DT_INT32: np.int32,
    types_pb2.DT_INT64: np.int64,
    types_pb2.DT_UINT8: np.uint8,
    types_pb2.DT_UINT32: np.uint32,
    types_pb2.DT_UINT64: np.uint64,
}  # Types of values that need no look at each.
_PLAIN: dict[int, frozenset[type]] = {
    **dict.fromkeys(_FLOATS, frozenset({int, float})),
    types_pb2.DT_BOOL: frozenset({bool}),
}

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
        raise _bad("Missing 'inputs' or 'instances' key")
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
        self.shape = _shape(value)
        self.values += _flat(value, self.shape, self.dtype)

    def add_row(self, value: Any) -> None:
        """Adds ``value`` as one row; ``StatusError`` where it has not as many values as the first."""
        shape = _shape(value)
        flat = _flat(value, shape, self.dtype)
        self.values += flat
        n_values = len(flat)
        if self.n_rows is None:
            self.n_rows, self.shape, self._n_values = 0, shape, n_values
        elif n_values != self._n_values:
            raise _bad(f"Expecting tensor size: {self._n_values} but got: {n_values}")
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
                made = np.array(self.values, _FLOATS.get(self.dtype) or _INTS.get(self.dtype, np.bool_))
            proto.tensor_content = made.tobytes()


def _from_rows(document: dict[str, Any], dtypes: Dtypes) -> dict[str, _Column]:
    rows = document["instances"]
    if not isinstance(rows, list):
        raise _shown(document, "Expecting 'instances' to be an list/array")
    if not rows:
        raise _shown(document, "No values in 'instances' array")
    are_objects = _is_object(rows[0])
    if not are_objects and len(dtypes) > 1:
        raise _bad(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    columns = {alias: _Column(dtype) for alias, dtype in dtypes.items()}
    for position, row in enumerate(rows):
        if are_objects and not _is_object(row):
            raise _bad(f"Expecting object but got list at item {position} of input list")
        if not are_objects and _is_object(row):
            raise _bad(f"Expecting value/list but got object at item {position} of input list")
        if are_objects:
            _add_object(position, row, columns)
        else:
            _framed(f"Failed to process element: {position} of", next(iter(columns.values())).add_row, row)
    return columns


def _add_object(position: int, row: dict[str, Any], columns: dict[str, _Column]) -> None:
    for key, value in row.items():
        frame = f"Failed to process element: {position} key: {key} of"
        if key not in columns:
            raise _bad(
                f"{frame} 'instances' list. Error: INVALID_ARGUMENT: JSON object: does not have named input: {key}"
            )
        _framed(frame, columns[key].add_row, value)
    if row.keys() != columns.keys():
        raise _bad(
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
            raise _bad(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        inputs = dict.fromkeys(dtypes, inputs)
    columns = {}
    for alias in sorted(dtypes):
        if alias not in inputs:
            raise _bad(f"Missing named input: {alias} in 'inputs' object.")
        columns[alias] = _Column(dtypes[alias])
        columns[alias].put(inputs[alias])
    return columns


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not _is_base64(value)


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {B64} and isinstance(value[B64], str)


def _shape(value: Any) -> list[int]:
    """The shape along the first elements."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return shape


def _flat(value: Any, shape: list[int], dtype: int) -> list[Any]:
    """The values in ``value`` one after the other, of ``shape``; a million of them in a tenth of a second.

    Raises:
        StatusError: As ``leaf``, or lists of unequal length or depth.
    """
    if len(shape) > tensors.MAX_RANK:
        raise _bad(f"Expected at most {tensors.MAX_RANK} dimensions, found lists nested {len(shape)} deep")
    level = [value]
    for size in shape:
        if set(map(type, level)) != {list} or set(map(len, level)) != {size}:
            break
        level = list(chain.from_iterable(level))
    else:
        if set(map(type, level)) <= _PLAIN.get(dtype, frozenset()):
            return level
    # Strings, limits of integers, or something that does not fit: one by one, with the words for it.
    into: list[Any] = []
    _collect(value, shape, 0, dtype, into)
    return into


def _collect(value: Any, shape: list[int], level: int, dtype: int, into: list[Any]) -> None:
    if not isinstance(value, list) or level == len(shape):
        if level != len(shape):
            raise _bad(
                f"JSON Value: {pretty(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {len(shape)}"
            )
        into.append(leaf(value, dtype))
        return
    if len(value) != shape[level]:
        raise _bad(f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}")
    for one in value:
        _collect(one, shape, level + 1, dtype, into)


def leaf(value: Any, dtype: int) -> Any:
    """One value of a tensor of ``dtype``.

    Raises:
        StatusError: It is of another JSON type, or out of the dtype's range.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if dtype in _FLOATS:
        fits, made = is_number, value
    elif dtype in _INTS:
        limits = np.iinfo(np.dtype(_INTS[dtype]))
        fits = is_number and isinstance(value, int) and limits.min <= value <= limits.max
        made = value
    elif dtype == types_pb2.DT_BOOL:
        fits, made = isinstance(value, bool), value
    elif dtype == types_pb2.DT_STRING:
        fits, made = isinstance(value, str) or _is_base64(value), value
    else:
        text = f"Conversion of JSON Value: {pretty(value)} to type: {tensors.dtype_name(dtype)}"
        raise StatusError("UNIMPLEMENTED", text)
    if not fits:
        raise _bad(
            f"JSON Value: {pretty(value)} Type: {type_name(value)} is not of expected type: {tensors.dtype_name(dtype)}"
        )
    return string_bytes(made) if dtype == types_pb2.DT_STRING else made


def string_bytes(value: str | dict[str, str]) -> bytes:
    """The bytes of a JSON string or of a ``{"b64": ...}`` object.

    As TensorFlow Serving takes it: the standard alphabet, white space anywhere, padded with ``=`` or ``.`` or not at
    all, but not by half.

    Raises:
        StatusError: ``INVALID_ARGUMENT``, it is no base64.
    """
    if isinstance(value, str):
        return to_bytes(value)
    try:
        packed = value[B64].encode("ascii").translate(None, _WHITE_SPACE)
        digits = packed.rstrip(_PADDING)
        missing = -len(digits) % 4
        if len(packed) - len(digits) not in {0, missing}:
            raise ValueError("wrong padding")
        return base64.b64decode(digits + b"=" * missing, validate=True)
    except ValueError as error:
        raise _bad("Unable to base64 decode") from error


def _bad(message: str) -> StatusError:
    return StatusError("INVALID_ARGUMENT", message)


def _shown(document: Any, message: str) -> StatusError:
    return _bad(f"JSON Value: {pretty(document)} {message}")

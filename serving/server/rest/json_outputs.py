"""Tensors to JSON: a value for each row (``predictions``) or a column for each output (``outputs``)."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import orjson
from tensorflow.core.framework import tensor_pb2, types_pb2

from serving.server.rest.json_values import B64
from serving.server.run import tensors
from serving.server.status import StatusError

_UNWRITABLE = {
    types_pb2.DT_HALF,
    types_pb2.DT_BFLOAT16,
    types_pb2.DT_UINT16,
    types_pb2.DT_COMPLEX64,
    types_pb2.DT_COMPLEX128,
}


def outputs_as_rows(outputs: Mapping[str, tensor_pb2.TensorProto]) -> list[Any]:
    """A value (one output) or an object (several) for each row of the batch.

    Raises:
        StatusError: An output has no rows, another number of them, or values that JSON has no form for.
    """
    n_rows: int | None = None
    for alias in sorted(outputs):
        dims = outputs[alias].tensor_shape.dim
        if not dims:
            raise _bad(f"Tensor name: {alias} has no shape information ")
        n_rows = dims[0].size if n_rows is None else n_rows
        if dims[0].size != n_rows:
            raise _bad(f"Tensor name: {alias} has inconsistent batch size: {dims[0].size} expecting: {n_rows}")
    columns = {alias: _listed(alias, proto) for alias, proto in outputs.items()}
    if len(columns) == 1:
        return next(iter(columns.values()))
    return [{alias: column[row] for alias, column in columns.items()} for row in range(n_rows or 0)]


def outputs_as_columns(outputs: Mapping[str, tensor_pb2.TensorProto]) -> Any:
    """The tensor (one output) or an object of tensors (several).

    Raises:
        StatusError: An output has values that JSON has no form for.
    """
    columns = {alias: _listed(alias, proto) for alias, proto in outputs.items()}
    return next(iter(columns.values())) if len(columns) == 1 else columns


def _listed(alias: str, proto: tensor_pb2.TensorProto) -> Any:
    array = tensors.decode(proto)
    if proto.dtype in _UNWRITABLE and array.size:
        raise _bad(f"Failed to write JSON value for tensor type: {tensors.dtype_name(proto.dtype)}")
    if proto.dtype in _UNWRITABLE:
        return _nested([], array.shape)
    if proto.dtype == types_pb2.DT_STRING:
        return _nested(list(_strings(alias, array.ravel().tolist())), array.shape)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        # JSON has no word for NaN and the infinities; the standard library's writer has those of the real server.
        listed = array.tolist()
        return (
            [orjson.Fragment(json.dumps(value)) for value in listed]
            if array.ndim
            else orjson.Fragment(json.dumps(listed))
        )
    # As arrays: orjson writes them many times as fast as lists, floats with as few digits as tell them apart.
    return array if array.ndim and array.size else array.tolist()


def _strings(alias: str, values: Iterable[bytes]) -> Iterable[Any]:
    for value in values:
        if alias.endswith("_bytes"):
            yield {B64: base64.b64encode(value).decode("ascii")}
            continue
        try:
            yield value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise _bad(
                f"Tensor name: {alias} holds bytes that are not UTF-8; name an output *_bytes for base64"
            ) from error


def _nested(flat: list[Any], shape: tuple[int, ...]) -> Any:
    if not shape:
        return flat[0]
    holder = np.empty(len(flat), object)
    holder[:] = flat
    return holder.reshape(shape).tolist()


def _bad(message: str) -> StatusError:
    return StatusError("INVALID_ARGUMENT", message)

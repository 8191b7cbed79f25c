"""Values of a tensor out of JSON: flat, of one shape, each of the type that the tensor has."""

from __future__ import annotations

import base64
from itertools import chain
from typing import Any

import numpy as np
from tensorflow.core.framework import types_pb2

from serving.server.rest.json_shown import pretty, type_name
from serving.server.rest.json_text import to_bytes
from serving.server.run import tensors
from serving.server.status import StatusError

B64 = "b64"
_WHITE_SPACE, _PADDING = b" \t\n\v\f\r", b"=."
FLOATS: dict[int, Any] = {types_pb2.DT_FLOAT: np.float32, types_pb2.DT_DOUBLE: np.float64}
INTS: dict[int, Any] = {
    types_pb2.DT_INT8: np.int8,
    types_pb2.DT_INT16: np.int16,
    types_pb2.DT_INT32: np.int32,
    types_pb2.DT_INT64: np.int64,
    types_pb2.DT_UINT8: np.uint8,
    types_pb2.DT_UINT32: np.uint32,
    types_pb2.DT_UINT64: np.uint64,
}  # Types of values that need no look at each.
_PLAIN: dict[int, frozenset[type]] = {
    **dict.fromkeys(FLOATS, frozenset({int, float})),
    types_pb2.DT_BOOL: frozenset({bool}),
}


def is_base64(value: Any) -> bool:
    """Whether a JSON value stands for bytes: ``{"b64": ...}`` and nothing else."""
    return isinstance(value, dict) and value.keys() == {B64} and isinstance(value[B64], str)


def shape_of(value: Any) -> list[int]:
    """The shape of nested lists, taken along their first elements; ``[]`` of a plain value."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return shape


def flat_values(value: Any, shape: list[int], dtype: int) -> list[Any]:
    """The values in ``value`` one after the other, of ``shape``; a million of them in a tenth of a second.

    Raises:
        StatusError: As ``leaf``, or lists of unequal length or depth.
    """
    if len(shape) > tensors.MAX_RANK:
        raise bad_request(f"Expected at most {tensors.MAX_RANK} dimensions, found lists nested {len(shape)} deep")
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
            raise bad_request(
                f"JSON Value: {pretty(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {len(shape)}"
            )
        into.append(leaf(value, dtype))
        return
    if len(value) != shape[level]:
        raise bad_request(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    for element in value:
        _collect(element, shape, level + 1, dtype, into)


def leaf(value: Any, dtype: int) -> Any:
    """One value of a tensor of ``dtype``.

    Raises:
        StatusError: It is of another JSON type, or out of the dtype's range.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if dtype in FLOATS:
        fits, made = is_number, value
    elif dtype in INTS:
        limits = np.iinfo(np.dtype(INTS[dtype]))
        fits = is_number and isinstance(value, int) and limits.min <= value <= limits.max
        made = value
    elif dtype == types_pb2.DT_BOOL:
        fits, made = isinstance(value, bool), value
    elif dtype == types_pb2.DT_STRING:
        fits, made = isinstance(value, str) or is_base64(value), value
    else:
        text = f"Conversion of JSON Value: {pretty(value)} to type: {tensors.dtype_name(dtype)}"
        raise StatusError("UNIMPLEMENTED", text)
    if not fits:
        raise bad_request(
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
        raise bad_request("Unable to base64 decode") from error


def bad_request(message: str) -> StatusError:
    """The refusal of a request that is at fault, to be raised."""
    return StatusError("INVALID_ARGUMENT", message)

"""Tensors between the wire (``TensorProto``) and numpy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
from tensorflow.core.framework import tensor_pb2, types_pb2

#: What one value may be made to fill, and what an empty tensor's shape may say; a few bytes could ask for all memory.
MAX_FILLED_BYTES = 64 << 20
#: Each string costs some 60 bytes beside its own on the way to the model.
MAX_STRINGS = 1 << 20
#: TensorFlow's own bound on the size of a dimension, and of a message.
MAX_VALUES = 1 << 31
MAX_RANK = 254
STRING = types_pb2.DT_STRING
# One string in TensorFlow's memory.
STRING_BYTES = 24

# dtype on the wire -> (numpy type, field of its values, numpy type of one value as that field holds it)
_NUMERIC: dict[int, tuple[Any, str, Any]] = {
    types_pb2.DT_FLOAT: (np.float32, "float_val", np.float32),
    types_pb2.DT_DOUBLE: (np.float64, "double_val", np.float64),
    types_pb2.DT_INT8: (np.int8, "int_val", np.int32),
    types_pb2.DT_INT16: (np.int16, "int_val", np.int32),
    types_pb2.DT_INT32: (np.int32, "int_val", np.int32),
    types_pb2.DT_INT64: (np.int64, "int64_val", np.int64),
    types_pb2.DT_UINT8: (np.uint8, "int_val", np.int32),
    types_pb2.DT_UINT16: (np.uint16, "int_val", np.int32),
    types_pb2.DT_UINT32: (np.uint32, "uint32_val", np.uint32),
    types_pb2.DT_UINT64: (np.uint64, "uint64_val", np.uint64),
    types_pb2.DT_BOOL: (np.bool_, "bool_val", np.bool_),
    types_pb2.DT_HALF: (np.float16, "half_val", np.int32),
    types_pb2.DT_BFLOAT16: (ml_dtypes.bfloat16, "half_val", np.int32),
    types_pb2.DT_COMPLEX64: (np.complex64, "scomplex_val", np.float32),
    types_pb2.DT_COMPLEX128: (np.complex128, "dcomplex_val", np.float64),
}
_BY_NUMPY = {np.dtype(numpy_type): number for number, (numpy_type, _, _) in _NUMERIC.items()}
_BITS = {types_pb2.DT_HALF, types_pb2.DT_BFLOAT16}
# Packed fields whose bytes on the wire are numpy's own: tag of the field.
_PACKED_TAGS = {"float_val": b"\x2a", "double_val": b"\x32", "scomplex_val": b"\x4a", "dcomplex_val": b"\x62"}


class TensorDefect(ValueError):
    """The bytes of a tensor do not make one; the text says why and may be empty."""


def dtype_name(number: int) -> str:
    """TensorFlow's word for a dtype, as in ``float`` or ``int32``."""
    return types_pb2.DataType.Name(number).removeprefix("DT_").lower()


def number_of(array: np.ndarray) -> int:
    """The dtype on the wire of a numpy array; an object array holds strings."""
    return STRING if array.dtype == object else _BY_NUMPY[array.dtype]


def decode(proto: tensor_pb2.TensorProto) -> np.ndarray:
    """The tensor in ``proto``; strings as an object array of bytes.

    ``tensor_content`` wins over typed values; one typed value fills the shape. Unknown rank is read as a scalar.

    Raises:
        TensorDefect: Unknown dtype, impossible shape, content of another size than the shape asks for, too few or too
            many values, values in the field of another dtype, or values the dtype cannot hold.
    """
    shape = _shape(proto)
    n_values = math.prod(shape)
    if proto.dtype == STRING:
        if not n_values:
            _check_filled(math.prod(size for size in shape if size), STRING_BYTES)
        return _strings(proto, n_values).reshape(shape)
    if proto.dtype not in _NUMERIC:
        raise TensorDefect("")
    numpy_type = np.dtype(_NUMERIC[proto.dtype][0])
    if not n_values:
        _check_filled(math.prod(size for size in shape if size), numpy_type.itemsize)
    if proto.tensor_content:
        return _content(proto.tensor_content, numpy_type, n_values).reshape(shape)
    return _typed(proto, numpy_type, n_values).reshape(shape)


def _shape(proto: tensor_pb2.TensorProto) -> tuple[int, ...]:
    if proto.tensor_shape.unknown_rank:
        return ()
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if len(shape) > MAX_RANK or any(size < 0 for size in shape) or math.prod(shape) > MAX_VALUES:
        raise TensorDefect("")
    return shape


def _content(content: bytes, numpy_type: np.dtype, n_values: int) -> np.ndarray:
    if len(content) != n_values * numpy_type.itemsize:
        raise TensorDefect("")
    values = np.frombuffer(content, numpy_type.newbyteorder("<") if numpy_type.kind != "V" else numpy_type)
    if numpy_type == np.bool_ and (np.frombuffer(content, np.uint8) > 1).any():
        raise TensorDefect("")
    return values


def _typed(proto: tensor_pb2.TensorProto, numpy_type: np.dtype, n_values: int) -> np.ndarray:
    _, name, held_as = _NUMERIC[proto.dtype]
    held = np.array(getattr(proto, name), held_as)
    if proto.dtype in _BITS:
        _refuse_unheld(held, np.uint16, name)
        values = held.astype(np.uint16).view(numpy_type)
    elif numpy_type.kind == "c":
        if len(held) % 2:
            raise TensorDefect(f"{name} holds pairs of numbers, got {len(held)} numbers")
        values = held.view(numpy_type)
    else:
        if numpy_type.kind in "iu":
            _refuse_unheld(held, numpy_type, name)
        values = held.astype(numpy_type, copy=False)
    return _filled(values, n_values, name)


def _refuse_unheld(held: np.ndarray, numpy_type: Any, name: str) -> None:
    limits = np.iinfo(numpy_type)
    if held.dtype != limits.dtype and held.size and (held.min() < limits.min or held.max() > limits.max):
        raise TensorDefect(f"a value in {name} is outside [{limits.min}, {limits.max}]")


def _filled(values: np.ndarray, n_values: int, name: str) -> np.ndarray:
    if len(values) == n_values:
        return values
    if len(values) == 1:
        _check_filled(n_values, STRING_BYTES if values.dtype == object else values.itemsize)
        return np.full(n_values, values[0], values.dtype)
    raise TensorDefect(f"expected {n_values} values in {name} (or one for all), got {len(values)}")


def _check_filled(n_values: int, n_bytes_each: int) -> None:
    if n_values * n_bytes_each > MAX_FILLED_BYTES:
        most = MAX_FILLED_BYTES // n_bytes_each
        raise TensorDefect(f"the shape asks for {n_values} values, at most {most} are made of one value or of none")


def _strings(proto: tensor_pb2.TensorProto, n_values: int) -> np.ndarray:
    if max(len(proto.string_val), n_values if proto.tensor_content else 0) > MAX_STRINGS:
        raise TensorDefect(f"expected at most {MAX_STRINGS} strings, got more")
    held = _split_strings(proto.tensor_content, n_values) if proto.tensor_content else list(proto.string_val)
    values = np.empty(len(held), object)
    values[:] = held
    return _filled(values, n_values, "string_val")


def _split_strings(content: bytes, n_values: int) -> list[bytes]:
    """The strings of a ``tensor_content``: all lengths as varints, then all bytes."""
    lengths, at = [], 0
    for _ in range(n_values):
        length = shift = 0
        while True:
            if at >= len(content) or shift > 63:
                raise TensorDefect("")
            byte = content[at]
            length |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if byte < 0x80:
                break
        lengths.append(length)
    if at + sum(lengths) != len(content):
        raise TensorDefect("")
    strings = []
    for length in lengths:
        strings.append(content[at : at + length])
        at += length
    return strings


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def encode_typed(array: np.ndarray, proto: tensor_pb2.TensorProto) -> None:
    """Writes ``array`` into the empty ``proto``, values in the field of their dtype."""
    number = _describe(array, proto)
    if number == STRING:
        proto.string_val.extend(array.ravel().tolist())
        return
    _, name, _ = _NUMERIC[number]
    if name in _PACKED_TAGS:
        if array.size:
            content = np.ascontiguousarray(array).tobytes()
            proto.MergeFromString(_PACKED_TAGS[name] + _varint(len(content)) + content)
        return
    values = np.ascontiguousarray(array).view(np.uint16) if number in _BITS else array
    getattr(proto, name).extend(values.ravel().tolist())


def encode_content(array: np.ndarray, proto: tensor_pb2.TensorProto) -> None:
    """Writes ``array`` into the empty ``proto`` as ``tensor_content``."""
    if _describe(array, proto) == STRING:
        strings = array.ravel().tolist()
        proto.tensor_content = b"".join(_varint(len(string)) for string in strings) + b"".join(strings)
    else:
        proto.tensor_content = np.ascontiguousarray(array).tobytes()


def _describe(array: np.ndarray, proto: tensor_pb2.TensorProto) -> int:
    number = number_of(array)
    proto.dtype = number  # type: ignore[assignment]
    proto.tensor_shape.SetInParent()
    for size in array.shape:
        proto.tensor_shape.dim.add().size = size
    return number


Encoder = Callable[[np.ndarray, tensor_pb2.TensorProto], None]

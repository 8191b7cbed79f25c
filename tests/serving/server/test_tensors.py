"""Tensors over the wire: we read what TensorFlow writes, it reads what we write, and doubtful values are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

pytestmark = [pytest.mark.tf]

NUMBERS = ["float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"]
ARRAYS = st.sampled_from([*NUMBERS, "float16", "complex64", "complex128"]).flatmap(
    lambda name: hnp.arrays(name, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)


@pytest.mark.parametrize("way", ["encode_typed", "encode_content"])
@settings(deadline=None)
@given(array=ARRAYS)
def test_written_tensors_are_read_back_by_us_and_by_tensorflow(way, array):
    import tensorflow as tf
    from tensorflow.core.framework import tensor_pb2

    from serving.server.run import tensors

    proto = tensor_pb2.TensorProto()
    getattr(tensors, way)(array, proto)
    for read in (tensors.decode(proto), tf.make_ndarray(proto)):
        assert read.dtype == array.dtype
        np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("way", ["encode_typed", "encode_content"])
@settings(deadline=None)
@given(values=st.lists(st.binary(max_size=300), max_size=5))
def test_strings_are_read_back(way, values):
    from tensorflow.core.framework import tensor_pb2

    from serving.server.run import tensors

    array = np.empty(len(values), object)
    array[:] = values
    proto = tensor_pb2.TensorProto()
    getattr(tensors, way)(array, proto)
    assert tensors.decode(proto).tolist() == values


@settings(deadline=None)
@given(array=ARRAYS)
def test_what_tensorflow_writes_is_read(array):
    import tensorflow as tf

    from serving.server.run import tensors

    read = tensors.decode(tf.make_tensor_proto(array))
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"shape": [2, 3], "float_val": [1, 2]}, "expected 6 values in float_val (or one for all), got 2"),
        ({"shape": [2], "float_val": [1, 2, 3]}, "expected 2 values in float_val (or one for all), got 3"),
        ({"shape": [2], "int_val": [1, 2]}, "expected 2 values in float_val (or one for all), got 0"),  # wrong field
        ({"dtype": "DT_INT8", "shape": [1], "int_val": [128]}, "a value in int_val is outside [-128, 127]"),
        ({"dtype": "DT_HALF", "shape": [1], "half_val": [70000]}, "a value in half_val is outside [0, 65535]"),
        ({"dtype": "DT_COMPLEX64", "shape": [1], "scomplex_val": [1]}, "scomplex_val holds pairs of numbers"),
        ({"shape": [2], "tensor_content": b"\0" * 7}, ""),  # not two floats
        ({"shape": [-1], "float_val": [1]}, ""),
        ({"shape": [2**40, 2**40], "float_val": [1]}, ""),  # one value that would fill the memory
        ({"shape": [2**29], "float_val": [1]}, ""),
        ({"shape": [1] * 300, "float_val": [1]}, ""),
        ({"dtype": "DT_INVALID", "shape": [1]}, ""),
        ({"dtype": "DT_STRING", "shape": [1], "tensor_content": b"\x05abc"}, ""),  # five bytes promised, three there
        ({"dtype": "DT_BOOL", "shape": [1], "tensor_content": b"\x02"}, ""),
    ],
)
def test_doubtful_tensors_are_refused(fields, text):
    from tensorflow.core.framework import tensor_pb2, types_pb2

    from serving.server.run import tensors

    given_fields = dict(fields)
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DataType.Value(given_fields.pop("dtype", "DT_FLOAT")))
    for size in given_fields.pop("shape"):
        proto.tensor_shape.dim.add().size = size
    for name, value in given_fields.items():
        setattr(proto, name, value) if isinstance(value, bytes) else getattr(proto, name).extend(value)
    with pytest.raises(tensors.TensorDefect) as caught:
        tensors.decode(proto)
    assert str(caught.value).startswith(text)


def test_one_value_fills_the_shape():
    from tensorflow.core.framework import tensor_pb2, types_pb2

    from serving.server.run import tensors

    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[7])
    proto.tensor_shape.dim.add().size = 3
    assert tensors.decode(proto).tolist() == [7, 7, 7]

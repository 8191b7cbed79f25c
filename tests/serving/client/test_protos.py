"""The client's messages against TensorFlow Serving's own stubs: the same bytes, and the same values out of them."""

from __future__ import annotations

import numpy as np
import pytest

from serving.client.calls import Metadata, Predict, Status
from serving.client.over_grpc import array_of, decoded, encoded
from serving.client.protos import message_class

pytestmark = pytest.mark.tf


@pytest.mark.parametrize("at", [None, 7, "stable"])
def test_requests_are_the_stubs_own_bytes(at):
    import tensorflow as tf
    from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2

    images = [b"one", b"", b"\xff" * 300]
    for made, call in (
        (predict_pb2.PredictRequest(output_filter=["labels"]), Predict("m", at, "lenient", tuple(images), ("labels",))),
        (get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"]), Metadata("m", at)),
    ):
        made.model_spec.name = "m"
        if isinstance(at, int):
            made.model_spec.version.value = at
        elif at:
            made.model_spec.version_label = at
        if isinstance(call, Predict):
            made.model_spec.signature_name = "lenient"
            made.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(images, tf.string, [3]))
        assert type(made).FromString(encoded(call).SerializeToString()) == made
        assert encoded(call).SerializeToString() == made.SerializeToString()
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "m"
    assert encoded(Status("m")).SerializeToString() == status.SerializeToString()


@pytest.mark.parametrize(
    "array",
    [
        np.array([[0.5, np.nan], [1e-30, -2]], np.float32),
        np.array([[1.5]], np.float64),
        np.array([[True], [False]]),
        np.array([3, -4], np.int64),
        np.array([[b"pneumonia", b"\xff"]], object),
        np.zeros((0, 3), np.float32),
    ],
)
def test_tensors_are_read_as_tensorflow_reads_them(array):
    import tensorflow as tf

    proto = tf.make_tensor_proto(array)  # packed, as tensor_content
    packed = message_class("Tensor").FromString(proto.SerializeToString())
    np.testing.assert_array_equal(array_of(packed), array)
    if proto.tensor_content:
        # One value after the other, as model servers answer.
        field = {"float32": "float_val", "float64": "double_val", "bool": "bool_val", "int64": "int64_val"}
        getattr(proto, field[array.dtype.name]).extend(array.ravel().tolist())
        proto.ClearField("tensor_content")
        np.testing.assert_array_equal(array_of(message_class("Tensor").FromString(proto.SerializeToString())), array)


def test_answers_are_read_as_the_stubs_mean_them():
    from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

    states = get_model_status_pb2.GetModelStatusResponse()
    for number, state in enumerate(get_model_status_pb2.ModelVersionStatus.State.values()):
        one = states.model_version_status.add(version=number, state=state)
        one.status.error_message = f"why {number}"
    found = decoded("Status", message_class("StatusResponse").FromString(states.SerializeToString()))
    names = get_model_status_pb2.ModelVersionStatus.State.keys()
    assert [(one.state, one.reason) for one in found] == [(name, f"why {n}") for n, name in enumerate(names)]

    signatures = get_model_metadata_pb2.SignatureDefMap()
    signatures.signature_def["lenient"].inputs["image_bytes"].dtype = 7
    signatures.signature_def["lenient"].outputs["decisions"].dtype = 10
    answer = get_model_metadata_pb2.GetModelMetadataResponse()
    answer.model_spec.version.value = 5
    answer.metadata["signature_def"].Pack(signatures)
    described = decoded("Metadata", message_class("MetadataResponse").FromString(answer.SerializeToString()))
    assert described.version == 5
    assert described.signatures == {"lenient": {"inputs": {"image_bytes": 7}, "outputs": {"decisions": 10}}}

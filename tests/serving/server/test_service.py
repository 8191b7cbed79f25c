"""What a stock gRPC client meets beyond the recorded calls: limits, and the answers of a model of images."""

from __future__ import annotations

import pytest

from tests.waiting import PATIENCE_S

pytestmark = [pytest.mark.serving, pytest.mark.tf]

LABELS_FIRST = "--allow_version_labels_for_unavailable_models=true"


@pytest.fixture(scope="module")
def server(base, serve):
    return serve(
        [f"--model_config_file={base}/configs/all.config", "--allow_version_labels_for_unavailable_models=true"]
    )


@pytest.fixture(scope="module")
def stub(server):
    import grpc
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{server.options.port}", options) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def test_stock_client_sends_a_jpeg_and_gets_probabilities(stub):
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    white = tf.io.encode_jpeg(tf.fill([32, 32, 3], tf.cast(255, tf.uint8))).numpy()
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "bytes_toy"
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([white, white]))
    response = stub.Predict(request, timeout=PATIENCE_S)
    assert tf.make_ndarray(response.outputs["probabilities"]).shape == (2, 3)
    assert tf.make_ndarray(response.outputs["probabilities"])[0] == pytest.approx([1, 0, 0.5], abs=1e-5)
    assert tf.make_ndarray(response.outputs["decisions"])[0].tolist() == [True, False, True]
    assert tf.make_ndarray(response.outputs["labels"])[0].tolist() == [b"bright", b"dark", b"half"]
    assert (response.model_spec.name, response.model_spec.version.value) == ("bytes_toy", 1)


def test_request_over_the_limit_is_refused_with_both_sizes(stub, server):
    import grpc
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = "toy"
    request.inputs["x"].tensor_content = bytes(server.options.grpc_max_message_bytes + 1)
    with pytest.raises(grpc.RpcError) as caught:
        stub.Predict(request, timeout=60)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert str(server.options.grpc_max_message_bytes) in caught.value.details()


def test_two_servers_never_share_a_port(server, serve):
    from serving.server.status import StatusError

    with pytest.raises(StatusError, match="Failed to BuildAndStart gRPC server"):
        serve(
            [f"--model_config_file={server.options.model_config_file}", f"--port={server.options.port}", LABELS_FIRST]
        )


def test_rest_body_over_the_limit_is_refused_unread(server):
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", server.options.rest_api_port, timeout=PATIENCE_S)
    connection.putrequest("POST", "/v1/models/toy:predict")
    connection.putheader("Content-Length", str(server.options.grpc_max_message_bytes + 1))
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413
    assert b"at most" in answer.read()


def test_metrics_page_counts_requests(serve, base, call):
    import urllib.request

    monitoring = f"--monitoring_config_file={base}/configs/monitoring.txt"
    own = serve(["--model_name=toy", f"--model_base_path={base}/models/toy", monitoring])
    call(own, "tensorflow.serving.PredictionService", "Predict", b"\x0a\x05\x0a\x03toy")
    address = f"http://127.0.0.1:{own.options.rest_api_port}/monitoring/prometheus/metrics"
    with urllib.request.urlopen(address) as page:
        text = page.read().decode()
    assert ':tensorflow:serving:request_count{model_name="toy",status="INVALID_ARGUMENT"} 1' in text
    assert "# TYPE :tensorflow:serving:request_latency histogram" in text

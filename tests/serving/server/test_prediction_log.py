"""What a running server notes of its answers, by gRPC and REST, and that it answers when it cannot note."""

from __future__ import annotations

import base64
import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from cxr_tasks.predictions.log import read_log
from tests.image_files import encoded, smooth
from tests.waiting import wait_until

pytestmark = pytest.mark.serving

PICTURE = encoded(smooth(120, 90, seed=5), "PNG")


@pytest.fixture
def started(exported, free_port):
    """Starts a server of the small model that logs to a folder; gives it, stopped at the end."""
    from serving.server.flags import parse_flags
    from serving.server.server import ModelServer

    running = []

    def start(folder):
        flags = [
            f"--port={free_port()}", f"--rest_api_port={free_port()}", "--shutdown_grace_seconds=0",
            "--model_name=cxr_binary", f"--model_base_path={exported.parent}",
            f"--prediction_log_folder={folder}", "--prediction_log_flush_s=0.1",
        ]  # fmt: skip
        server = ModelServer(parse_flags(flags).options)
        server.start()
        running.append(server)
        return server

    yield start
    for server in running:
        server.stop()


def by_grpc(server, image, request_id=None, label=None):
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    request = predict_pb2.PredictRequest()
    request.model_spec.name = "cxr_binary"
    if label:
        request.model_spec.version.value = label
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([image]))
    with grpc.insecure_channel(f"127.0.0.1:{server.options.port}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        metadata = (("x-request-id", request_id),) if request_id else ()
        answer, call = stub.Predict.with_call(request, timeout=60, metadata=metadata)
        return tf.make_ndarray(answer.outputs["probabilities"]), dict(call.trailing_metadata())["x-request-id"]


def by_rest(server, image, request_id):
    import requests

    body = {"instances": [{"image_bytes": {"b64": base64.b64encode(image).decode()}}], "signature_name": "lenient"}
    url = f"http://127.0.0.1:{server.options.rest_api_port}/v1/models/cxr_binary:predict"
    answer = requests.post(url, json=body, headers={"X-Request-ID": request_id}, timeout=60)
    return answer.json()["predictions"][0], answer.headers["x-request-id"]


def logged(folder):
    today = datetime.now(UTC).date()
    return read_log("cxr_binary", today - timedelta(days=1), today, folder)


def test_answers_of_both_ports_are_noted_under_ids_that_hold_no_name(started, tmp_path):
    folder = tmp_path / "log"
    server, own = started(folder), str(uuid.uuid4())
    probabilities, told = by_grpc(server, PICTURE, own, label=3)
    assert told == own
    _, made = by_grpc(server, PICTURE)
    row, replaced = by_rest(server, PICTURE, "MUSTER, Max")
    assert "muster" not in replaced.lower()
    refused, _ = by_rest(server, b"no picture", str(uuid.uuid4()))
    assert refused["status"].startswith("refused")
    server.stop()
    # The writer writes what it has, also after the server.
    wait_until(lambda: len(logged(folder)) >= 4, "four rows", tell=lambda: logged(folder), pause_s=0.1)
    found = logged(folder)
    assert set(found["request_id"]) >= {own, made, replaced} and len(found) == 4
    assert found["label"].tolist() == ["version 3", "", "", ""]
    assert found["probability_pneumonia"][0] == pytest.approx(probabilities[0, 0])
    assert found["probability_pneumonia"][2] == pytest.approx(row["probabilities"][0])
    assert found["refused"].tolist() == [False, False, False, True]
    assert found["pixel_hash"].nunique() == 2 and set(found["version"]) == {3}
    assert not any(PICTURE[:40] in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_lost_disk_fails_no_request(started, tmp_path):
    place = tmp_path / "log"
    place.write_text("a file where the folder should be")
    server = started(place)
    for _ in range(5):
        assert by_grpc(server, PICTURE)[0].shape == (1, 1)
        time.sleep(0.05)


def test_without_a_log_nothing_is_added_to_answers(exported, free_port):
    import requests

    from serving.server.flags import parse_flags
    from serving.server.server import ModelServer

    flags = [f"--port={free_port()}", f"--rest_api_port={free_port()}", "--model_name=cxr_binary",
             f"--model_base_path={exported.parent}", "--shutdown_grace_seconds=0"]  # fmt: skip
    server = ModelServer(parse_flags(flags).options)
    server.start()
    try:
        url = f"http://127.0.0.1:{server.options.rest_api_port}/v1/models/cxr_binary"
        assert "x-request-id" not in requests.get(url, timeout=60).headers
    finally:
        server.stop()

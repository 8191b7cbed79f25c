"""What the server takes down of its requests, and how much of it it keeps."""

from __future__ import annotations

import stat

import pytest

from cxr_tasks.installation.storage.paths import recorded_root

pytestmark = pytest.mark.tf


def call(number: int, size: int = 10, image: bytes = b""):
    """A Predict call with one image, of ``size`` bytes where none is given, and its answer."""
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    request, response = predict_pb2.PredictRequest(), predict_pb2.PredictResponse()
    image = image or f"{number:05d}".encode().ljust(size, b".")
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([image], tf.string))
    response.model_spec.name, response.model_spec.version.value = "cxr_binary", 3
    response.outputs["probabilities"].CopyFrom(tf.make_tensor_proto([[0.5]]))
    response.outputs["heat_maps"].CopyFrom(tf.make_tensor_proto([[0.5] * 100]))
    return request, response


def recorded(n: int, share: float = 1.0, max_bytes: int = 1 << 20, size: int = 10):
    from serving.server.request_log import RequestLog

    log = RequestLog(recorded_root(), share, max_bytes, seed=1)
    log.start()
    for number in range(n):
        log.offer(*call(number, size))
        if number % 32 == 0:
            _until_written(log)
    log.stop()
    return sorted((recorded_root() / "cxr_binary").glob("*"))


def _until_written(log) -> None:
    while not log._waiting.empty():
        pass


def test_requests_are_read_again_newest_first_for_the_owner_only(cxr_home):
    from serving.compare.asked_images import recorded_images

    (path,) = recorded(20)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    images = recorded_images("cxr_binary", 5)
    assert [image[:5] for image in images] == [b"00019", b"00018", b"00017", b"00016", b"00015"]
    assert len(recorded_images("cxr_binary", 100)) == 20


def test_smoke_tests_are_no_requests_of_anybody(cxr_home):
    from serving.compare.asked_images import recorded_images
    from serving.export.golden import golden_images
    from serving.server.request_log import RequestLog

    log = RequestLog(recorded_root(), 1.0, 1 << 24)
    log.start()
    for image in golden_images().values():
        log.offer(*call(0, image=image))
    log.offer(*call(7))
    log.stop()
    assert [image[:5] for image in recorded_images("cxr_binary", 100)] == [b"00007"]


def test_a_record_has_version_and_answer_and_no_heat_maps(cxr_home):
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    (path,) = recorded(1)
    (content,) = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    record = prediction_log_pb2.PredictionLog.FromString(content)
    assert record.log_metadata.model_spec.version.value == 3
    assert list(record.predict_log.response.outputs) == ["probabilities"]


def test_the_oldest_files_go(cxr_home):
    paths = recorded(200, max_bytes=160_000, size=4_000)
    assert len(paths) <= 8
    assert sum(path.stat().st_size for path in paths) < 200_000
    from serving.compare.asked_images import recorded_images

    assert recorded_images("cxr_binary", 1)[0].startswith(b"00199")


def test_a_share_is_taken(cxr_home):
    from serving.compare.asked_images import recorded_images

    recorded(1000, share=0.2)
    assert 150 < len(recorded_images("cxr_binary", 1000)) < 250


def test_a_record_cut_short_ends_a_file(cxr_home):
    """The last one may be in the middle of being written."""
    from serving.compare.asked_images import recorded_images

    (path,) = recorded(3)
    with open(path, "r+b") as stream:
        stream.truncate(path.stat().st_size - 5)
    assert [image[:5] for image in recorded_images("cxr_binary", 9)] == [b"00001", b"00000"]


def test_a_disk_that_is_full_fails_no_request(cxr_home):
    recorded_root().parent.mkdir(parents=True)
    recorded_root().write_text("a file where the folder should be")
    assert recorded(3) == []


def test_server_that_still_waits_for_a_model_ends_without_a_word(tmp_path):
    from serving.server.flags import parse_flags
    from serving.server.server import ModelServer

    flags = [f"--request_log_folder={tmp_path}", "--request_log_share=1", f"--model_base_path={tmp_path}/none"]
    ModelServer(parse_flags(flags).options).stop()
    assert list(tmp_path.iterdir()) == []

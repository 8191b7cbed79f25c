"""Versions published while requests run: none fails, and a broken version changes nothing."""

from __future__ import annotations

import functools
import shutil
import threading

import pytest

from tests.waiting import wait_until

pytestmark = [pytest.mark.serving, pytest.mark.tf]


def publish(golden, version: str, target) -> None:
    """The recorded ``toy`` version as ``target``, whole at once."""
    aside = target.parent / f"_{target.name}"
    shutil.copytree(golden / "models" / "toy" / version, aside, copy_function=shutil.copyfile)
    aside.rename(target)


def sum_request(version: int | None = None) -> bytes:
    """Asks ``toy`` for s = 6 + k, which tells the version k that answered."""
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = "toy"
    if version is not None:
        request.model_spec.version.value = version
    request.output_filter.append("s")
    request.inputs["x"].CopyFrom(tf.make_tensor_proto([[1.0, 2.0, 3.0]]))
    return request.SerializeToString()


def answered(raw: bytes) -> tuple[int, float]:
    from tensorflow_serving.apis import predict_pb2

    response = predict_pb2.PredictResponse.FromString(raw)
    return response.model_spec.version.value, response.outputs["s"].float_val[0]


def test_no_request_fails_while_versions_change(golden, serve, call, tmp_path):
    (tmp_path / "toy").mkdir()
    publish(golden, "1", tmp_path / "toy" / "1")
    server = serve(["--model_name=toy", f"--model_base_path={tmp_path}/toy", "--grpc_max_threads=16"])
    request, answers, stop = sum_request(), [], threading.Event()

    def keep_asking() -> None:
        while not stop.is_set():
            answers.append(call(server, "tensorflow.serving.PredictionService", "Predict", request))

    threads = [threading.Thread(target=keep_asking) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for version in ("2", "3"):
            publish(golden, version, tmp_path / "toy" / version)
            wait_until(lambda v=int(version): set(server.core.manager.serving["toy"]) == {v}, f"version {version}")
            n_answers = len(answers)
            wait_until(lambda n=n_answers: len(answers) >= n + 20, "twenty more answers")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert {code for code, _, _ in answers} == {"OK"}
    assert {answered(raw) for _, _, raw in answers} == {(1, 7.0), (2, 8.0), (3, 9.0)}
    assert set(server.core.manager.serving["toy"]) == {3}


def test_broken_version_leaves_the_serving_one_alone_and_a_good_one_follows(golden, serve, call, tmp_path):
    (tmp_path / "toy").mkdir()
    publish(golden, "1", tmp_path / "toy" / "1")
    server = serve(["--model_name=toy", f"--model_base_path={tmp_path}/toy", "--max_num_load_retries=0"])
    aside = tmp_path / "toy" / "_2"
    aside.mkdir()
    (aside / "saved_model.pb").write_bytes(b"junk")
    aside.rename(tmp_path / "toy" / "2")
    states_of_toy = functools.partial(server.core.board.of_model, "toy")
    wait_until(
        lambda: 2 in states_of_toy() and states_of_toy()[2].error is not None,
        "2 is refused",
        tell=states_of_toy,
    )
    service = "tensorflow.serving.PredictionService"
    assert answered(call(server, service, "Predict", sum_request())[2]) == (1, 7.0)
    assert call(server, service, "Predict", sum_request(version=2))[0] == "NOT_FOUND"
    publish(golden, "3", tmp_path / "toy" / "3")
    wait_until(lambda: 3 in server.core.manager.serving["toy"], "version 3 serves", tell=states_of_toy)
    assert answered(call(server, service, "Predict", sum_request())[2]) == (3, 9.0)


def test_request_that_holds_a_version_is_answered_by_it_though_it_is_unloaded(golden, serve, tmp_path):
    (tmp_path / "toy").mkdir()
    publish(golden, "1", tmp_path / "toy" / "1")
    server = serve(["--model_name=toy", f"--model_base_path={tmp_path}/toy"])
    from tensorflow_serving.apis import model_pb2

    from serving.server.loading.states import END, UNLOADING

    with server.core.servable(model_pb2.ModelSpec(name="toy")) as held:
        publish(golden, "2", tmp_path / "toy" / "2")
        wait_until(lambda: server.core.board.of_model("toy")[1].state == UNLOADING, "version 1 is being unloaded")
        signature = held.signatures["scalar_in"]
        import numpy as np

        feeds, fetches = [signature.inputs["z"].name], [signature.outputs["zz"].name]
        assert held.runner.run(feeds, [np.float32(3)[()].reshape(())], fetches)[0] == 6
    wait_until(lambda: server.core.board.of_model("toy")[1].state == END, "version 1 is unloaded")

"""The whole platform on synthetic X-rays, through real Airflow, MLflow and model server processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_S, wait_until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(2400)]


def test_a_folder_of_images_ends_as_a_served_model_with_a_report(released):
    assert released["model"] == "cxr_binary"
    assert released["gate_verdict"] == "PASS"
    assert released["version"] == released["served_version"] == 1
    assert 0.6 < released["test_auroc_lower"] < released["test_auroc"] < released["test_auroc_upper"] <= 1
    page = Path(released["report"]).read_text(encoding="utf-8")
    assert f"{released['test_auroc']:.3f}" in page
    assert "<script src" not in page
    assert "http://" not in page.split("<body")[0]


def test_a_stock_client_gets_probabilities_for_a_jpeg(stack, released):
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    folder = next((stack.home / "synthetic").glob("*/test/PNEUMONIA"))
    image = next(folder.glob("*.jpeg")).read_bytes()
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "cxr_binary"
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([image]))
    with grpc.insecure_channel(stack.grpc_address) as channel:
        answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=PATIENCE_S)
    assert answer.model_spec.version.value == 1
    assert tf.make_ndarray(answer.outputs["labels"]).tolist() == [[b"pneumonia"]]
    probability = tf.make_ndarray(answer.outputs["probabilities"])
    assert probability.shape == (1, 1)
    assert 0 <= probability[0, 0] <= 1


def test_the_registry_tells_what_is_served(released):
    from cxr_tasks.registry.versions import CHALLENGER, CHAMPION, version_with_alias

    champion = version_with_alias("cxr_binary", CHAMPION)
    assert int(champion.version) == int(version_with_alias("cxr_binary", CHALLENGER).version) == 1
    assert champion.run_id == released["mlflow_run_id"]
    assert champion.tags["gate.verdict"] == "PASS"


def test_the_report_is_an_artifact_of_the_models_run(released):
    from cxr_tasks.registry import tracking

    names = [one.path for one in tracking.client().list_artifacts(released["mlflow_run_id"], "report")]
    assert any(name.endswith(".html") for name in names), names


def test_a_folder_is_scored_by_a_dag_in_parts_and_says_what_the_server_says(stack, api, released, tmp_path):
    import pyarrow.parquet as pq

    from serving.client import CxrClient
    from tests.images.dicom.files import dicom_file, ramp

    folder = tmp_path / "images"
    folder.mkdir()
    drawn = sorted(next((stack.home / "synthetic").glob("*/test/PNEUMONIA")).glob("*.jpeg"))[:10]
    for number, path in enumerate(drawn):
        (folder / f"{number}.jpeg").write_bytes(path.read_bytes())
    (folder / "IM0001").write_bytes(dicom_file(ramp(200, 200)))
    (folder / "bad.png").write_text("no image")
    run = api.trigger("cxr_score", {"source": str(folder), "model": "cxr_binary"})
    tasks = {task.task_id: task for task in _ended(api, run)}
    assert api.run(run.dag_id, run.run_id).state == "success", {name: task.state for name, task in tasks.items()}
    batch = api.xcom(tasks["collect"])
    assert (batch["n_images"], batch["n_answered"], batch["n_refused"]) == (12, 11, 1)
    rows = pq.read_table(batch["parquet"]["uri"]).to_pylist()
    with CxrClient(stack.grpc_address) as client:
        for row in rows:
            if not row["error"]:
                said = client.predict("cxr_binary", folder / row["file"])
                assert row["probability_pneumonia"] == pytest.approx(said.probabilities[0], abs=1e-5)
                assert (row["version"], row["decision_pneumonia"]) == (1, said.decisions[0])
    assert len({row["fingerprint"] for row in rows}) == 1 and len(rows[0]["fingerprint"]) == 64


def test_a_refused_model_ends_green_with_its_reasons_and_changes_nothing(api, released):
    run = api.trigger("cxr_train_binary", {"recipe": "synthetic_binary", "epochs": 1, "gate_floor": 0.999})
    states = {task.task_id: task.state for task in _ended(api, run)}
    assert api.run(run.dag_id, run.run_id).state == "success"
    assert states["gate"] == states["passed"] == "success"
    assert states["register"] == states["propose"] == "skipped"
    mlflow_run = _mlflow_runs(run)[0]
    assert mlflow_run.data.tags["gate.verdict"] == "FAIL"
    assert "0.999" in mlflow_run.data.tags["gate.reasons"]

    from cxr_tasks.registry.versions import CHAMPION, version_with_alias

    assert int(version_with_alias("cxr_binary", CHAMPION).version) == 1


def test_a_killed_training_goes_on_in_the_same_mlflow_run(api, released):
    run = api.trigger("cxr_train_binary", {"recipe": "synthetic_binary", "epochs": 6, "gate_floor": 0.999})
    wait_until(lambda: _epochs(run), "a first epoch in MLflow", tell=lambda: api.tasks(run), pause_s=0.5)
    pid = api.pid_of(next(task for task in api.tasks(run) if task.task_id == "train"))
    os.kill(pid, signal.SIGKILL)
    train = next(task for task in _ended(api, run) if task.task_id == "train")
    assert train.state == "success"
    assert train.try_number == 2
    assert len(_mlflow_runs(run)) == 1
    assert _epochs(run) == list(range(1, 7)), "an epoch is missing or was trained twice"


def _ended(api, run):
    """The tasks of ``run`` once all of them have ended."""
    wait_until(
        lambda: api.run(run.dag_id, run.run_id).state in {"success", "failed"}, f"{run.run_id} has ended",
        tell=lambda: api.tasks(run), pause_s=1,
    )  # fmt: skip
    return api.tasks(run)


def _mlflow_runs(run):
    from cxr_tasks.registry import tracking

    client = tracking.client()
    experiment = client.get_experiment_by_name("cxr_binary")
    return client.search_runs([experiment.experiment_id], f"tags.`cxr.dag_run_id` = '{run.run_id}'")


def _epochs(run) -> list[int]:
    from cxr_tasks.registry import tracking

    found = _mlflow_runs(run)
    if not found:
        return []
    return sorted(metric.step for metric in tracking.client().get_metric_history(found[0].info.run_id, "val_auroc"))

"""One family's whole chain through CeleryExecutor, Postgres and an S3 store, with a worker lost in its training."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from cxr_tasks.installation.storage.objects import Bucket
from cxr_tasks.installation.storage.paths import PROJECT_ROOT, report_path
from tests.docker.conftest import Cluster
from tests.waiting import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.cluster, pytest.mark.timeout(3600)]

EPOCHS = 4
MODEL = "cxr_binary"


@pytest.fixture(scope="module")
def outcome(cluster: Cluster) -> dict:
    """What ``cxr trigger`` says of a training whose worker was killed after its first epoch; the locks it held."""
    cluster.start_worker("one", "cpu,release", 2)
    cluster.start_worker("two", "gpu", 1)
    command = [str(Path(sys.executable).parent / "cxr"), "trigger", "synthetic_binary", "--epochs", str(EPOCHS)]
    options = ["--gate-floor", "0.6", "--wait", "--approve", "test of several machines", "--json"]
    followed = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, cwd=PROJECT_ROOT)
    try:
        wait_until(lambda: states_of_training(cluster), "an epoch of the training", of=followed, patience_s=1500)
        lost = cluster.kill_worker("two")
        cluster.start_worker("three", "gpu", 1)
        said, _ = followed.communicate(timeout=2400)
    finally:
        if followed.poll() is None:
            followed.kill()
            followed.communicate()
    assert followed.returncode == 0, "cxr trigger failed; its output is above"
    return {**json.loads(said), "locks_of_the_lost": lost}


def states_of_training(cluster: Cluster) -> list[Path]:
    return list(cluster.settings.home.glob("runs/cxr_train_binary*/**/state.npz"))


def logs_in_the_store(bucket: Bucket, dag_id: str) -> dict[str, str]:
    """Key below ``logs/`` -> content."""
    pages = bucket._client.get_paginator("list_objects_v2").paginate(Bucket=bucket.name, Prefix=f"logs/dag_id={dag_id}")
    keys = [one["Key"] for page in pages for one in page.get("Contents", [])]
    return {key: bucket.get(key).decode() for key in keys}


def test_a_version_is_trained_judged_approved_and_served(outcome):
    assert outcome["is_approved"]
    assert outcome["served_version"] == outcome["version"] == 1
    assert report_path(MODEL, 1).is_file()


def test_the_lost_training_went_on_elsewhere_from_its_last_epoch(cluster, outcome):
    logs = logs_in_the_store(Bucket(), "cxr_train_binary")
    (second,) = [text for key, text in logs.items() if "task_id=train/" in key and key.endswith("attempt=2.log")]
    assert "epoch 1/" not in second and f"epoch {EPOCHS}/{EPOCHS}" in second, "none was trained twice"
    assert "Workload finished" in cluster.log("three").read_text()


def test_logs_and_artifacts_are_in_the_store_and_logs_can_be_read_in_airflow(cluster, outcome):
    bucket = Bucket()
    logs = logs_in_the_store(bucket, "cxr_train_binary")
    assert any("task_id=register" in key for key in logs)
    listed = bucket._client.list_objects_v2(Bucket=bucket.name, Prefix="mlflow/")
    assert any(one["Key"].endswith("model.keras") for one in listed["Contents"])
    assert not (cluster.settings.mlflow_home / "artifacts").exists()
    assert not (cluster.settings.airflow_home / "airflow.db").exists()


def test_what_was_done_stands_in_the_database_and_its_chain_is_whole(cluster, outcome):
    import psycopg

    from cxr_tasks.registry.audit import trail

    assert trail.verify() == []
    assert {one.kind for one in trail.entries(MODEL)} >= {"registered", "promoted", "served"}
    with psycopg.connect(cluster.services.database("cxr")) as rows:
        assert rows.execute("SELECT count(*) FROM audit_lines").fetchone()[0] == len(trail.entries())
        assert rows.execute("SELECT count(*) FROM ingest_files").fetchone()[0] > 0


def test_no_lock_outlives_its_holder(cluster, outcome):
    """Who works at this moment may hold some."""
    assert [one for one in outcome["locks_of_the_lost"] if one.purpose.startswith("training ")]
    assert not outcome["locks_of_the_lost"] & cluster.locks()
    wait_until(lambda: not [one for one in cluster.locks() if one.pid and not psutil.pid_exists(one.pid)])


def test_a_model_server_without_the_volume_serves_the_same(cluster, outcome, tmp_path):
    from serving.check.server_process import configured_server
    from serving.client import CxrClient
    from serving.client.running import wait_loaded
    from serving.pull import pull

    into = tmp_path / "models"
    assert pull(Bucket(), into)
    image = next(cluster.settings.home.glob("synthetic/**/*.jpeg")).read_bytes()
    answers = []
    with configured_server(into / "models.config", tmp_path / "server.log") as server:
        for address in (cluster.settings.grpc_address, server.address):
            with CxrClient(address) as client:
                wait_loaded(client, MODEL, 1, 240, require_alive=server.require_alive)
                version, outputs = client.outputs(MODEL, [image])
                assert version == 1
                answers.append(outputs["probabilities"])
    np.testing.assert_array_equal(*answers)


def test_no_process_of_a_task_or_worker_shows_a_password(cluster, outcome):
    """Command lines are shown to every user of a machine."""
    secret = [*cluster.services.passwords.values(), cluster.services.s3_credentials.read_text().split()[-1]]
    for process in psutil.process_iter():
        try:
            shown = " ".join(process.cmdline())
        except psutil.Error:
            continue
        assert not [one for one in secret if one in shown], shown.split()[:3]

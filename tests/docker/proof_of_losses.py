"""A family's chain through the cluster whose worker, then broker, database and store are lost in its training.

    .venv/bin/python -m pytest tests/docker/proof_of_losses.py

By hand, and not a part of ``make test``: ten minutes on two free cores. ``test_cluster.py`` loses the worker alone.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from cxr_tasks.installation.storage.objects import Bucket
from cxr_tasks.installation.storage.paths import PROJECT_ROOT, report_path
from tests.docker.conftest import Cluster, HeldLock
from tests.waiting import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.cluster, pytest.mark.timeout(3600)]

EPOCHS = 4
#: Of a chain with two outages, also where all cores are others'.
CHAIN_S = 2400.0
MODEL = "cxr_binary"


@dataclass(frozen=True)
class Outcome:
    """What ``cxr trigger`` said in the end, and what was seen on the way."""

    said: dict
    locks_of_the_lost: set[HeldLock]
    locks_left: set[HeldLock]
    """Of those, when the training went on elsewhere."""


@pytest.fixture(scope="module")
def outcome(cluster: Cluster) -> Outcome:
    """A training whose worker is killed after an epoch, and broker, database and store after a further one."""
    cluster.start_worker("one", "cpu,release", 2)
    cluster.start_worker("two", "gpu", 1)
    command = [str(Path(sys.executable).parent / "cxr"), "trigger", "synthetic_binary", "--epochs", str(EPOCHS)]
    options = ["--gate-floor", "0.6", "--wait", "--approve", "test of several machines", "--json"]
    followed = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, cwd=PROJECT_ROOT)
    try:
        next_epoch(cluster, followed, {})
        lost = cluster.kill_worker("two")
        saved = states_of_training(cluster)
        cluster.start_worker("three", "gpu", 1)
        next_epoch(cluster, followed, saved)
        left = lost & cluster.locks()
        cluster.kill_engines()
        said, _ = followed.communicate(timeout=CHAIN_S)
    finally:
        if followed.poll() is None:
            followed.kill()
            followed.communicate()
    assert followed.returncode == 0, "cxr trigger failed; its output is above"
    return Outcome(json.loads(said), lost, left)


def next_epoch(cluster: Cluster, followed: subprocess.Popen, known: dict[Path, int]) -> None:
    """Wait until a state of the training is on disk that is not among ``known``."""
    wait_until(
        lambda: states_of_training(cluster).items() - known.items(), "an epoch of the training",
        of=followed, patience_s=CHAIN_S,
    )  # fmt: skip


def states_of_training(cluster: Cluster) -> dict[Path, int]:
    """File -> when it was written."""
    found = {}
    for path in cluster.settings.home.glob("runs/cxr_train_binary*/**/state.npz"):
        with contextlib.suppress(FileNotFoundError):  # it goes when the training has ended
            found[path] = path.stat().st_mtime_ns
    return found


def logs_in_the_store(bucket: Bucket, dag_id: str) -> dict[str, str]:
    """Key below ``logs/`` -> content."""
    pages = bucket._client.get_paginator("list_objects_v2").paginate(Bucket=bucket.name, Prefix=f"logs/dag_id={dag_id}")
    keys = [one["Key"] for page in pages for one in page.get("Contents", [])]
    return {key: bucket.get(key).decode() for key in keys}


def test_a_version_is_trained_judged_approved_and_served(outcome):
    assert outcome.said["is_approved"]
    assert outcome.said["served_version"] == outcome.said["version"] == 1
    assert report_path(MODEL, 1).is_file()


def test_the_lost_training_went_on_elsewhere_from_its_last_epoch(cluster, outcome):
    """The log of a try that ended while the store was away is on the volume still; of all others it is in the store."""
    in_store = logs_in_the_store(Bucket(), "cxr_train_binary")
    on_volume = (cluster.settings.airflow_home / "logs" / "dag_id=cxr_train_binary").rglob("attempt=*.log")
    tries = {key.rpartition("/")[2]: text for key, text in in_store.items() if "task_id=train/" in key}
    for path in on_volume:
        if "task_id=train/" in path.as_posix() and (text := path.read_text()):
            tries.setdefault(path.name, text)
    after = "".join(text for name, text in sorted(tries.items()) if name != "attempt=1.log")
    assert "epoch 1/" not in after and after.count(f"epoch {EPOCHS}/{EPOCHS}") == 1, "none was trained twice"
    assert "Workload finished" in cluster.log("three").read_text()


def test_no_epoch_is_lost_or_told_twice_when_broker_database_and_store_go(outcome):
    """The training outlived all three; each epoch's figures are in the database that came back."""
    from cxr_tasks.registry import tracking, versions

    (version,) = versions.model_versions(MODEL)
    told = tracking.client().get_metric_history(str(version.run_id), "val_score")
    assert sorted(one.step for one in told) == list(range(1, EPOCHS + 1))


def test_each_step_is_recorded_once(outcome):
    from cxr_tasks.registry.audit import trail
    from cxr_tasks.worklist.store import Worklist

    kinds = [one.kind for one in trail.entries(MODEL)]
    assert {kind: kinds.count(kind) for kind in ("verdict", "registered", "promoted", "served")} == {
        "verdict": 1, "registered": 1, "promoted": 1, "served": 1,
    }  # fmt: skip
    wait_until(lambda: not [one for state in ("waiting", "started") for one in Worklist().in_state(state)])


def test_no_lock_outlives_its_holder(cluster, outcome):
    """Who works at this moment may hold some."""
    assert [one for one in outcome.locks_of_the_lost if one.purpose.startswith("training ")]
    assert not outcome.locks_left
    wait_until(lambda: not [one for one in cluster.locks() if one.pid and not psutil.pid_exists(one.pid)])


def test_the_version_before_serves_again_after_a_rollback(cluster, outcome):
    """The second one is of the same training: what is looked at is the way of a version, not how it was trained."""
    from cxr_tasks.registry import tracking, versions
    from cxr_tasks.worklist.airflow_api import AirflowApi
    from serving.client.running import labelled_version

    first = versions.find_version(MODEL, 1)
    made = tracking.client().create_model_version(MODEL, first.source, first.run_id, tags=dict(first.tags))
    assert int(made.version) == 2
    cxr = str(Path(sys.executable).parent / "cxr")
    # Its gate judged the first one; a person answers for this one.
    for command in (["override", "--by", "Dr. A"], ["promote", "--by", "Dr. A", "--wait"]):
        told = [cxr, command[0], MODEL, "2", "--reason", "a test", *command[1:]]
        subprocess.run(told, check=True, cwd=PROJECT_ROOT)
    assert labelled_version(cluster.settings, MODEL, "stable") == 2
    api = AirflowApi(cluster.settings)
    run = api.trigger("cxr_rollback", {"model": MODEL, "reason": "a test"})
    wait_until(lambda: api.run(run.dag_id, run.run_id).state in ("success", "failed"), pause_s=1)
    assert api.run(run.dag_id, run.run_id).state == "success"
    assert labelled_version(cluster.settings, MODEL, "stable") == 1
    assert int(versions.version_with_alias(MODEL, versions.CHAMPION).version) == 1

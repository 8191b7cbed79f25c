"""A DAG with the rules of all others, run by real Airflow: an event when a task begins and when it ends or fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cxr_tasks.installation.storage.paths import PROJECT_ROOT

pytestmark = [pytest.mark.airflow_db, pytest.mark.timeout(900)]

DAG = """
from airflow.sdk import dag, task
from dag_rules import rules
from cxr_tasks.stack.pools import REPORTS

@dag(dag_id="made", schedule=None, **rules("other", pool=REPORTS))
def made():
    @task(multiple_outputs=False)
    def prepare() -> dict:
        return {"dataset": "kermany", "fingerprint": "f" * 64}

    @task(multiple_outputs=False)
    def train(prepared: dict, number: int) -> dict:
        if number == 2:
            from cxr_tasks.contracts.errors import DataDefect
            raise DataDefect("patient-4711.png is broken")
        return {"model_name": "cxr_binary", "version": number}

    train.partial(prepared=prepare()).expand(number=[1, 2])

made()
"""
RUN = "import sys; sys.path.insert(0, sys.argv[1]); import made_dag\nmade_dag.made_dag.test()"


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> tuple[list[dict], str]:
    """The events of a run, in order, and what the run printed."""
    root = tmp_path_factory.mktemp("lineage")
    (root / "dags").mkdir()
    (root / "dags" / "made_dag.py").write_text(DAG.replace("\nmade()\n", "\nmade_dag = made()\n"))
    bundle = {
        "name": "made",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(root / "dags")},
    }
    environment = os.environ | {
        "CXR_HOME": str(root / "var"),
        "CXR_LINEAGE": "on",
        "AIRFLOW_HOME": str(root / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
        "PYTHONPATH": os.pathsep.join([str(PROJECT_ROOT), str(PROJECT_ROOT / "dags")]),
    }
    subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"],
        env=environment,
        check=True,
        capture_output=True,
        timeout=600,
    )
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(root / "dags")],
        env=environment, check=False, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    files = sorted((root / "var" / "lineage" / "events").rglob("*.json"))
    assert files, done.stdout[-3000:] + done.stderr[-3000:]
    return [json.loads(path.read_text()) for path in files], done.stdout + done.stderr


def named(events: list[dict], what: str, task: str) -> list[dict]:
    return [one for one in events if (one["eventType"], one["job"]["name"]) == (what, f"made.{task}")]


def versions(datasets: list[dict]) -> dict[str, str]:
    return {f"{one['namespace']}:{one['name']}": one["facets"]["version"]["datasetVersion"] for one in datasets}


def test_what_a_task_read_and_wrote_stands_in_its_events(ran):
    events, _ = ran
    (prepared,) = named(events, "COMPLETE", "prepare")
    assert versions(prepared["outputs"]) == {"cxr.datasets:kermany": "f" * 64}
    (trained,) = named(events, "COMPLETE", "train")
    assert versions(trained["inputs"]) == {"cxr.datasets:kermany": "f" * 64}
    assert versions(trained["outputs"]) == {"cxr.models:cxr_binary": "1"}
    starts = {one["run"]["runId"] for one in named(events, "START", "train")}
    assert trained["run"]["runId"] in starts and len(starts) == 2  # one of each mapped part
    assert len({one["run"]["facets"]["parent"]["run"]["runId"] for one in events}) == 1


def test_a_failure_is_told_by_its_class_and_names_nobody(ran):
    events, said = ran
    (failed,) = named(events, "FAIL", "train")
    assert failed["run"]["facets"]["errorMessage"]["message"] == "DataDefect"
    assert "4711" not in json.dumps(events)
    assert "no lineage event" not in said


def test_a_task_whose_event_cannot_be_written_goes_on(tmp_path: Path, monkeypatch, caplog):
    monkeypatch.syspath_prepend(str(PROJECT_ROOT / "dags"))
    monkeypatch.setenv("CXR_LINEAGE", "on")
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("CXR_HOME", str(tmp_path / "taken"))
    import dag_lineage

    class Thing:
        dag_id = run_id = task_id = "x"
        try_number, map_index = 1, -1
        op_args, op_kwargs = (), {}

    dag_lineage.ended({"ti": Thing(), "task": Thing(), "params": {}}, {"dataset": "d", "fingerprint": "f" * 64})
    assert "no lineage event COMPLETE was written" in caplog.text

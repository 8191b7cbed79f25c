"""Tasks that hang are ended by name, and runs that fail are told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.airflow_db

DAGS = Path(__file__).resolve().parents[2] / "dags"

_HANG = """
import ctypes, logging, sys
from datetime import timedelta
from types import SimpleNamespace
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/plugins"]
logging.basicConfig()
import dag_rules
dag_rules._GRACE_S = 0.5
ti = SimpleNamespace(dag_id="cxr_train_binary", task_id="train", map_index=0)
dag_rules.watched({"ti": ti, "task": SimpleNamespace(execution_timeout=timedelta(seconds=0.2))})
import time
time.sleep(0.3)
ctypes.PyDLL(None).sleep(300)  # in a library that does not let go of Python
"""

_TELL = """
import json, sys
from datetime import timedelta
from types import SimpleNamespace
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/plugins"]
import dag_rules
before = set(sys.modules)
dag = SimpleNamespace(dag_id="cxr_train_binary", dagrun_timeout=timedelta(hours=120))
context = {"dag": dag, "run_id": "manual__2026-11-29T06:00:00+00:00", "reason": sys.argv[2]}
if sys.argv[3] != "none":
    context["ti"] = SimpleNamespace(task_id="train", map_index=int(sys.argv[3]))
dag_rules.tell_of_failure(context)
print("RESULT" + json.dumps(sorted({one.partition(".")[0] for one in set(sys.modules) - before})))
"""


def python(code: str, home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, str(DAGS), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        cwd=DAGS.parent,
        env={
            "PATH": "/usr/bin:/bin",
            "AIRFLOW_HOME": str(home),
            "HOME": str(home),
            "CXR_HOME": str(home),
            **environment,
        },
    )


def test_task_that_hangs_in_a_library_is_ended_and_named(tmp_path):
    done = python(_HANG, tmp_path)
    assert done.returncode == 1
    assert "task cxr_train_binary.train [0] took longer than its limit of 0:00:00.2" in done.stderr
    assert "CXR_TRAINING_HOURS" in done.stderr
    assert "Timeout (0:00:00.7" in done.stderr  # where it hung, line by line
    assert "most recent call first" in done.stderr


@pytest.mark.parametrize(
    ("reason", "map_index", "title", "why"),
    [
        ("task_failure", "-1", "cxr_train_binary failed at task train", "task failure"),
        ("timed_out", "2", "cxr_train_binary failed at task train [2]", "it took longer than 5 days, 0:00:00"),
        ("all_tasks_deadlocked", "none", "cxr_train_binary failed", "all tasks deadlocked"),
    ],
)
def test_failed_run_is_told_with_its_task(tmp_path, webhook, reason, map_index, title, why):
    done = python(
        _TELL,
        tmp_path,
        reason,
        map_index,
        CXR_NOTIFY=f"json://127.0.0.1:{webhook.server_port}/x",
        CXR_AIRFLOW_PORT="9999",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "stack" / "signals.json").read_text())[0][:3] == ["dag_failed", "cxr_train_binary", 1]
    ((_, sent),) = webhook.received
    assert sent["title"] == f"Chest X-rays: {title}"
    assert why in sent["message"]
    assert (
        "http://127.0.0.1:9999/dags/cxr_train_binary/runs/manual__2026-11-29T06%3A00%3A00%2B00%3A00" in sent["message"]
    )


def test_without_an_address_nothing_heavy_is_imported(tmp_path):
    done = python(_TELL, tmp_path, "task_failure", "-1")
    assert done.returncode == 0, done.stderr
    imported = set(json.loads(done.stdout.split("RESULT")[-1]))
    assert not imported & {"apprise", "mlflow", "pandas", "tensorflow", "great_expectations"}


def test_waiting_question_is_told_with_the_page_to_answer_on(tmp_path, webhook):
    code = _TELL.replace(
        "dag_rules.tell_of_failure(context)",
        "dag_rules.tell_of_question('Shall cxr_binary version 3 serve?', timedelta(hours=24))",
    )
    address = f"json://127.0.0.1:{webhook.server_port}/x"
    done = python(code, tmp_path, "", "none", CXR_NOTIFY=address, CXR_AIRFLOW_PORT="9999")
    assert done.returncode == 0, done.stderr
    ((_, sent),) = webhook.received
    assert sent["title"] == "Chest X-rays: Shall cxr_binary version 3 serve?"
    assert "at most 24 hours" in sent["message"]
    assert "http://127.0.0.1:9999" in sent["message"]

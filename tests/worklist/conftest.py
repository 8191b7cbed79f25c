"""A stack of the test's own whose DAGs do next to nothing, under the names of the platform's own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.installation.storage.paths import PROJECT_ROOT
from cxr_tasks.worklist.store import Worklist
from cxr_tasks.worklist.work_off import begin
from tests.own_stack import own_stack
from tests.worklist.scripted_airflow import ScriptedAirflow

#: What stays as it is: the list's own DAG and trigger, and what all DAGs share.
_REAL = (
    "cxr_requests.py",
    "plugins",
    *(path.name for path in (PROJECT_ROOT / "dags").glob("*.py") if not path.name.startswith("cxr_")),
)

_STAND_INS = '''
"""The platform's DAGs by name, each a task that writes down what it was asked for, and hands on as they do."""
import json, os, time
from pathlib import Path

from airflow.sdk import dag, get_current_context, task
from assets import CHALLENGER, CHAMPION, FAMILIES, SERVED
from dag_defaults import DEFAULT_ARGS, asked_for, tell_result
from forms import data_folder_param, model_param, training_params

from cxr_tasks.stack.pools import REPORTS, SERVING, TRAINING


def stand_in(dag_id, at_once, pool, inlet, outlet=None, params=None, seconds=0.0):
    args = {**DEFAULT_ARGS, "pool": pool, "retries": 3}

    @dag(dag_id=dag_id, schedule=None, max_active_runs=at_once, default_args=args, params=params)
    def made():
        @task(inlets=[inlet] if inlet else [], outlets=[outlet] if outlet else [])
        def work():
            asked = asked_for()
            context = get_current_context()
            folder = Path(os.environ["CXR_HOME"]) / "did" / dag_id
            folder.mkdir(parents=True, exist_ok=True)
            name = context["run_id"].replace("/", "_") + f".{time.time_ns()}"
            (folder / name).write_text(json.dumps(asked))
            time.sleep(asked.get("epochs") or seconds)
            while asked.get("gate_floor") == 1.0 and not (Path(os.environ["CXR_HOME"]) / "let_go").exists():
                sum(range(100_000))  # as busy as a training
            if outlet is not None:
                said = {"model": "cxr_binary", "version": asked.get("epochs") or 1, "mlflow_run_id": context["run_id"]}
                context["outlet_events"][outlet].extra = said
            tell_result(f"did {asked.get('data_folder') or asked.get('version')}")
        work()
    made()


_MODEL = {"model": model_param()}
BINARY = FAMILIES[0]
_FORM = {**training_params(BINARY), "data_folder": data_folder_param()}
stand_in("cxr_dataset_binary", 1, TRAINING, BINARY.new_images, BINARY.prepared, _FORM)
stand_in("cxr_train_binary", 4, TRAINING, BINARY.prepared, None, training_params(BINARY), 1.0)
stand_in("cxr_rollback", 1, SERVING, None, None, _MODEL)
stand_in("cxr_promote", 16, SERVING, CHALLENGER, None, _MODEL)
stand_in("cxr_release", 1, SERVING, CHAMPION, SERVED, _MODEL)
stand_in("cxr_report", 1, REPORTS, SERVED, None, _MODEL)
'''


@pytest.fixture(scope="module")
def light_stack(tmp_path_factory) -> Iterator[StackSettings]:
    """Real Airflow, MLflow and model server; stand-ins for the DAGs, the real list."""
    root = tmp_path_factory.mktemp("light")
    dags = root / "dags"
    dags.mkdir()
    for name in _REAL:
        source = PROJECT_ROOT / "dags" / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, dags / name)
    (dags / "stand_ins.py").write_text(_STAND_INS, encoding="utf-8")
    with own_stack(root / "var", CXR_DAGS=str(dags)) as settings:
        yield settings


def did(settings: StackSettings, dag_id: str) -> list[Path]:
    """What the stand-in of a DAG wrote down, a file for each time that it was run."""
    return sorted((settings.home / "did" / dag_id).glob("*"))


@pytest.fixture
def worklist(cxr_home):
    made = Worklist()
    begin(made)
    return made


@pytest.fixture
def airflow():
    return ScriptedAirflow()

"""DAG files: they parse in an instant without heavy libraries, and their tasks hang together as this table says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cxr_tasks.cli.following.followed_run import CHAINS
from cxr_tasks.stack.pools import pools
from cxr_tasks.worklist.events import wanted_by
from cxr_tasks.worklist.request import dag_of, kind_of
from tests.cli.test_advice import advice
from tests.dags.expected import ASSETS, BY_HAND, EDGES, LINKS, MAPPED, POOLS, RUN_HOURS, TASK_HOURS, USUAL_HOURS

pytestmark = pytest.mark.airflow_db

DAGS = Path(__file__).resolve().parents[2] / "dags"
HEAVY = ("tensorflow", "keras", "mlflow", "great_expectations", "pandas", "sklearn", "matplotlib")


_PROBE = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import Asset
seconds, dags = {}, {}
for path in sorted(__import__("pathlib").Path(sys.argv[1]).glob("cxr_*.py")):
    start = time.perf_counter()
    bag = DagBag(dag_folder=str(path))
    seconds[path.name] = time.perf_counter() - start
    assert not bag.import_errors, bag.import_errors
    for dag in bag.dags.values():
        condition = getattr(dag.timetable, "asset_condition", None)
        dags[dag.dag_id] = {
            "edges": {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks},
            "scheduled_on": sorted(one.name for one in condition.objects) if condition else [],
            "starts": sorted({one.name for task in dag.tasks for one in task.inlets}),
            "pools": sorted({task.pool for task in dag.tasks}),
            "publishes": sorted({one.name for task in dag.tasks for one in task.outlets}),
            "doc": bool(dag.doc_md), "tags": sorted(dag.tags), "params": sorted(dag.params),
            "retries": sorted({task.retries for task in dag.tasks}),
            "run_hours": dag.dagrun_timeout.total_seconds() / 3600,
            "deadline_hours": [one.interval.total_seconds() / 3600 for one in dag.deadline],
            "task_hours": {
                task.task_id: (task.partial_kwargs["execution_timeout"] if task.is_mapped else task.execution_timeout)
                .total_seconds() / 3600 for task in dag.tasks
            },
            "watched": all(
                (task.partial_kwargs.get("pre_execute") if task.is_mapped else task._pre_execute_hook) is not None
                for task in dag.tasks
            ),
            "tells": dag.has_on_failure_callback,
            "mapped": sorted(task.task_id for task in dag.tasks if task.is_mapped),
            "links": {
                task.task_id: {link.name: link.xcom_key for link in task.operator_extra_links}
                for task in dag.tasks if task.operator_extra_links
            },
        }
        if dag.dag_id == "cxr_promote":
            approve = dag.get_task("approve")
question = {
    "options": approve.options, "defaults": approve.defaults, "hours": approve.response_timeout.total_seconds() / 3600,
    "may_answer": [one["id"] for one in approve.assigned_users], "asks": sorted(approve.params),
    "after_the_limit": approve.execute_complete({}, {"error": "too late", "error_type": "timeout"})["chosen_options"],
}
# As the triggerer makes it again: by class path and arguments.
import assets
from importlib import import_module
(watcher,) = assets.REQUESTS.watchers
path, arguments = watcher.trigger.serialize()
module, _, name = path.rpartition(".")
again = getattr(import_module(module), name)(**json.loads(json.dumps(arguments)))
watched = {"models": again.models, "is_the_same": again.serialize() == watcher.trigger.serialize()}
heavy = [name for name in sys.argv[2].split(",") if name in sys.modules]
found = {"seconds": seconds, "dags": dags, "heavy": heavy, "question": question, "watched": watched}
print("RESULT" + json.dumps(found))
"""


@pytest.fixture(scope="module")
def parsed(tmp_path_factory):
    """The DAG files read in a fresh process, as the DAG processor reads them."""
    home = tmp_path_factory.mktemp("airflow")
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, str(DAGS), ",".join(HEAVY)],
        capture_output=True,
        text=True,
        check=False,
        env={
            "PATH": "/usr/bin:/bin",
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(DAGS / "plugins"),
            "CXR_APPROVERS": "dr.weber, dr.okafor",
            "CXR_APPROVAL_HOURS": "24",
            "CXR_TRAINING_HOURS": "10",
            "HOME": str(home),
        },
        cwd=DAGS.parent,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.split("RESULT")[-1])


def test_all_dags_are_accounted_for(parsed):
    assert set(parsed["dags"]) == set(EDGES) == set(ASSETS)


@pytest.mark.parametrize("dag_id", EDGES)
def test_edges(parsed, dag_id):
    assert parsed["dags"][dag_id]["edges"] == EDGES[dag_id]


@pytest.mark.parametrize("dag_id", ASSETS)
def test_assets_link_the_dags(parsed, dag_id):
    assert (parsed["dags"][dag_id]["starts"], parsed["dags"][dag_id]["publishes"]) == ASSETS[dag_id]


def test_no_dag_leaves_it_to_airflow_which_events_have_a_run(parsed):
    """Of events that come while Airflow makes a run, it keeps one."""
    scheduled = {dag_id: found["scheduled_on"] for dag_id, found in parsed["dags"].items()}
    assert {dag_id: names for dag_id, names in scheduled.items() if names} == {"cxr_requests": ["requests"]}


def test_each_asset_is_known_to_the_list_which_starts_the_dag_that_it_leads_to():
    for dag_id, (names, _) in ASSETS.items():
        for name in names:
            event = {"name": name, "id": 1, "timestamp": "t", "extra": {"model": "cxr_binary", "version": 1}}
            wanted = wanted_by(event)
            assert dag_of(wanted.kind, wanted.model) == dag_id
            assert kind_of(dag_id)[0] == wanted.kind
    assert {kind_of(dag_id) is None for dag_id in BY_HAND} == {True}


def test_tasks_belong_to_pools_that_the_stack_makes(parsed):
    assert {dag_id: found["pools"] for dag_id, found in parsed["dags"].items()} == POOLS
    assert {name for names in POOLS.values() for name in names} == set(pools())


@pytest.mark.parametrize("dag_id", EDGES)
def test_each_dag_explains_itself_and_retries(parsed, dag_id):
    found = parsed["dags"][dag_id]
    assert found["doc"]
    assert "cxr" in found["tags"]
    assert found["retries"] == [2]


@pytest.mark.parametrize("dag_id", EDGES)
def test_nothing_runs_for_ever_and_a_failed_run_is_told(parsed, dag_id):
    found = parsed["dags"][dag_id]
    assert found["tells"]
    assert found["watched"]
    assert found["run_hours"] == RUN_HOURS[dag_id]
    assert [0.0 < hours < found["run_hours"] for hours in found["deadline_hours"]] == [True]
    for task, hours in found["task_hours"].items():
        assert hours == TASK_HOURS.get((dag_id.rpartition("_")[0], task), USUAL_HOURS.get(dag_id, 4)), task
        assert hours < found["run_hours"]


@pytest.mark.parametrize("dag_id", EDGES)
def test_tasks_have_buttons_to_what_they_made(parsed, dag_id):
    assert parsed["dags"][dag_id]["links"] == LINKS.get(dag_id, {})


@pytest.mark.parametrize("dag_id", EDGES)
def test_parts_of_a_folder_candidates_and_reports_run_side_by_side(parsed, dag_id):
    assert parsed["dags"][dag_id]["mapped"] == MAPPED.get(dag_id, [])


def test_nothing_heavy_is_imported(parsed):
    assert parsed["heavy"] == []


def test_the_display_knows_every_task(parsed):
    assert {dag_id: set(tasks) for chain in CHAINS.values() for dag_id, tasks in chain.items()} == {
        dag_id: set(found["edges"]) for dag_id, found in parsed["dags"].items() if dag_id not in BY_HAND
    }


def test_a_person_named_in_the_configuration_decides_and_silence_is_no_approval(parsed):
    assert parsed["question"] == {
        "options": ["Approve", "Reject"],
        "defaults": None,
        "hours": 24.0,
        "may_answer": ["dr.weber", "dr.okafor"],
        "asks": ["reason"],
        "after_the_limit": [],
    }


def test_what_advice_says_to_trigger_is_a_dag_with_such_fields(parsed):
    """Of all messages: "trigger cxr_release with model X" names a DAG and fields of its form."""
    told = {
        (dag_id, field)
        for text in advice()
        for dag_id, field in re.findall(r"[Tt]rigger (cxr_[a-z_]+)(?: with ([a-z_]+))?", text)
    }
    assert ("cxr_release", "model") in told
    unknown = {(dag_id, field) for dag_id, field in told if field and field not in parsed["dags"][dag_id]["params"]}
    assert unknown == set()
    assert {dag_id for dag_id, _ in told} <= set(EDGES)


def test_the_triggerer_can_make_what_works_off_the_list(parsed):
    assert parsed["watched"] == {"models": ["cxr_binary", "cxr_multilabel"], "is_the_same": True}

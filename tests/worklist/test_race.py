"""Events race each other, runs and restarts, through real Airflow: each has one run and one outcome.

With the newest event of each run taken alone, as before there was a list, of twenty events in a second one or two had
a run.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from cxr_tasks.stack.pools import TRAINING, pools
from cxr_tasks.stack.show import stack_status
from cxr_tasks.worklist.airflow_api import AirflowApi
from cxr_tasks.worklist.events import event_name
from cxr_tasks.worklist.store import Worklist
from tests.waiting import wait_until
from tests.worklist.conftest import did

pytestmark = [pytest.mark.stack, pytest.mark.timeout(2400)]

N = 20
LIMIT_S = 900


class Outside:
    """Somebody who sends Asset events by Airflow's REST API."""

    def __init__(self, settings):
        login = settings.airflow_login()
        answer = requests.post(
            f"{settings.airflow_url}/auth/token",
            json={"username": login.username, "password": login.password},
            timeout=60,
        )
        self.url = f"{settings.airflow_url}/api/v2"
        self.headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def send(self, asset: str, extra: dict) -> dict:
        found = requests.get(f"{self.url}/assets?name_pattern={asset}", headers=self.headers, timeout=60).json()
        (number,) = [one["id"] for one in found["assets"] if one["name"] == asset]
        answer = requests.post(
            f"{self.url}/assets/events", json={"asset_id": number, "extra": extra}, headers=self.headers, timeout=60
        )
        answer.raise_for_status()
        return answer.json()

    def send_all(self, asset: str, extras: list[dict]) -> float:
        """Seconds in which all were sent, from several hands."""
        began = time.monotonic()
        with ThreadPoolExecutor(4) as hands:
            list(hands.map(lambda extra: self.send(asset, extra), extras))
        return time.monotonic() - began


@pytest.fixture(scope="module")
def outside(light_stack):
    api = AirflowApi(light_stack)
    api.wait_for_dags(
        ("cxr_dataset_binary", "cxr_train_binary", "cxr_promote", "cxr_release", "cxr_rollback", "cxr_requests"), 240
    )
    return Outside(light_stack)


def kill(settings, program: str) -> None:
    (pid,) = [int(one["pid"]) for one in stack_status(settings) if one["program"] == program]
    os.kill(pid, signal.SIGKILL)


def all_ended(kind: str, n: int):
    found = Worklist().listing(kind=kind, limit=500)
    return found if len(found) >= n and all(one.is_ended for one in found) else None


def test_twenty_events_in_a_second_during_runs_and_restarts_have_twenty_outcomes(light_stack, outside):
    first = {"recipe": "synthetic_binary", "data_folder": "/nowhere/first", "epochs": 5}
    outside.send("new_images_binary", first)
    wait_until(lambda: did(light_stack, "cxr_dataset_binary"))  # they come during a run
    extras = [{"recipe": "synthetic_binary", "data_folder": f"/nowhere/{place}"} for place in range(N)]
    print(f"{N} events in {outside.send_all('new_images_binary', extras):.1f} s")
    wait_until(lambda: len(did(light_stack, "cxr_dataset_binary")) > 3)
    kill(light_stack, "scheduler")
    wait_until(lambda: len(did(light_stack, "cxr_dataset_binary")) > 8)
    kill(light_stack, "triggerer")
    kill(light_stack, "api-server")
    requests_ = wait_until(lambda: all_ended("dataset", N + 1))
    assert [one.state for one in requests_] == ["done"] * (N + 1)
    wanted = sorted(["/nowhere/first", *(one["data_folder"] for one in extras)])
    assert sorted(one.outcome for one in requests_) == sorted(f"did {one}" for one in wanted)
    # A task whose scheduler was killed is tried again, in its own run: no folder has a second run.
    runs = {
        path.name.rpartition(".")[0]: json.loads(path.read_text())["data_folder"]
        for path in did(light_stack, "cxr_dataset_binary")
    }
    assert sorted(runs.values()) == wanted
    # Each prepared dataset led to one training, of the same parent.
    trainings = wait_until(lambda: all_ended("training", N + 1))
    assert Counter(one.parent for one in trainings) == Counter(one.number for one in requests_)
    assert {one.state for one in trainings} == {"done"}


def test_challengers_half_a_second_apart_are_all_asked_about(light_stack, outside):
    extras = [{"model": "cxr_binary", "version": place + 1, "mlflow_run_id": f"{place}"} for place in range(N)]
    outside.send_all("challenger", extras)
    found = wait_until(lambda: all_ended("promotion", N))
    assert sorted(one.version for one in found) == list(range(1, N + 1))
    assert sorted(one.outcome for one in found) == sorted(f"did {one + 1}" for one in range(N))
    assert len(did(light_stack, "cxr_promote")) == N


def test_one_release_of_a_version_is_enough_and_its_report_follows(light_stack, outside):
    outside.send_all("champion", [{"model": "cxr_binary", "version": 7}] * N)
    found = wait_until(lambda: all_ended("release", 1))
    assert len(found) == len(did(light_stack, "cxr_release")) == 1
    reports = wait_until(lambda: all_ended("report", 1))
    assert [one.parent for one in reports] == [found[0].number]


@pytest.mark.parametrize("dag_id", ["cxr_release", "cxr_rollback", "cxr_promote", "cxr_report"])
def test_what_is_urgent_starts_beside_trainings_that_take_all_their_slots(light_stack, outside, dag_id):
    api, let_go = AirflowApi(light_stack), light_stack.home / "let_go"
    let_go.unlink(missing_ok=True)
    n_slots = pools()[TRAINING][0]
    busy = [api.trigger("cxr_train_binary", {"recipe": "synthetic_binary", "gate_floor": 1.0}) for _ in range(n_slots)]
    try:
        wait_until(lambda: states(api, *busy) == ["running"] * n_slots)
        # Asked for when no slot is left: of runs that begin together, any may come first.
        waits = api.trigger("cxr_dataset_binary", {"recipe": "synthetic_binary"})
        wait_until(lambda: states(api, waits) == ["scheduled"])  # it could run, were there a slot
        began = time.monotonic()
        run = api.trigger(dag_id, {"model": "cxr_binary", "version": 1})
        wait_until(lambda: any(run.run_id in path.name for path in did(light_stack, dag_id)))
        print(f"{dag_id} started {time.monotonic() - began:.1f} s after it was asked for, beside {n_slots} trainings")
        # Whatever the machine does besides: they go on, and what belongs to their pool waits for them.
        assert states(api, *busy) == ["running"] * n_slots
        assert states(api, waits) == ["scheduled"]
        assert not any(waits.run_id in path.name for path in did(light_stack, "cxr_dataset_binary"))
    finally:
        let_go.touch()
    wait_until(lambda: {api.run(one.dag_id, one.run_id).state for one in (*busy, waits, run)} == {"success"})


def states(api: AirflowApi, *runs) -> list[str]:
    """Of the tasks of ``runs``."""
    return [task.state for run in runs for task in api.tasks(run)]


@pytest.mark.parametrize(
    ("asset", "extra", "said"),
    [
        ("new_images_binary", {"recipe": "kermany_cn"}, "kermany_cn"),
        ("new_images_binary", {"data_foldr": "/x"}, "did you mean 'data_folder'?"),
        ("challenger", {"model": "cxr_binary"}, "expected model and version"),
        ("challenger", {"model": "cxr_binary", "version": "two"}, "expected a version's number, found 'two'"),
    ],
)
def test_an_event_that_cannot_be_done_ends_with_the_reason(light_stack, outside, asset, extra, said):
    event = event_name(outside.send(asset, extra) | {"name": asset})
    request = wait_until(lambda: next((one for one in Worklist().listing(limit=500) if one.key == event), None))
    request = wait_until(lambda: (one := Worklist().find(request.number)) and one.is_ended and one)
    assert request.state == "failed"
    assert request.outcome.startswith("nothing was run")
    assert said in request.outcome


def test_a_task_that_is_cleared_hands_on_nothing_new_and_its_run_has_one_outcome(light_stack, outside):
    (request,) = Worklist().listing(kind="dataset", states=("done",), limit=1)
    wait_until(lambda: not Worklist().in_state("waiting", "started"))
    n_before, n_noted = len(Worklist().listing(limit=500)), len(Worklist().history(request.number))
    answer = requests.post(
        f"{outside.url}/dags/{request.dag_id}/clearTaskInstances",
        json={"dry_run": False, "dag_run_id": request.run_id, "only_failed": False},
        headers=outside.headers,
        timeout=60,
    )
    answer.raise_for_status()
    # Noted also where the run has gone on and ended between two looks.
    wait_until(lambda: len(Worklist().history(request.number)) > n_noted)
    assert "its run was cleared and runs again" in [what for _, what in Worklist().history(request.number)]
    again = wait_until(lambda: (one := Worklist().find(request.number)) and one.is_ended and one)
    assert again.outcome == request.outcome
    time.sleep(6)
    assert len(Worklist().listing(limit=500)) == n_before
    # Its outcome also stands on the run.
    note = requests.get(
        f"{outside.url}/dags/{request.dag_id}/dagRuns/{request.run_id}", headers=outside.headers, timeout=60
    ).json()["note"]
    assert note.startswith(f"Request {request.number}: dataset of cxr_binary")
    assert f"Outcome: {request.outcome}" in note

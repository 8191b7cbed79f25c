from __future__ import annotations

import multiprocessing
import os
import signal
import stat
from datetime import UTC, datetime, timedelta

import pytest

from cxr_tasks.contracts.errors import ServiceUnavailable
from cxr_tasks.worklist.request import Wanted
from cxr_tasks.worklist.store import Worklist, worklist_path
from tests.conftest import in_both
from tests.waiting import wait_until


def wanted(key: str = "k", **changed) -> Wanted:
    return Wanted(**{"kind": "release", "key": key, "model": "cxr_binary", "version": 3, **changed})


@in_both
def test_what_was_asked_for_comes_back_as_it_was(cxr_home):
    asked = wanted(identity={"mlflow_run_id": "ab"}, conf={"model": "cxr_binary", "gate_floor": 0.6}, source="a person")
    made, is_new = Worklist().add(asked)
    assert is_new
    found = Worklist().find(made.number)
    assert found == made
    assert {name: getattr(found, name) for name in asked.__dataclass_fields__} == {
        name: getattr(asked, name) for name in asked.__dataclass_fields__
    }
    assert (found.state, found.outcome, found.dag_id) == ("waiting", "", "cxr_release")
    assert found.run_id.startswith(f"release_{found.number}__")


def test_the_list_is_for_its_owner_only(cxr_home):
    before = os.umask(0)
    try:
        Worklist().add(wanted())
    finally:
        os.umask(before)
    assert stat.S_IMODE(worklist_path().stat().st_mode) == 0o600
    assert stat.S_IMODE(worklist_path().parent.stat().st_mode) == 0o700


@in_both
def test_the_same_key_is_the_same_request_also_when_it_has_ended(cxr_home):
    worklist = Worklist()
    first, _ = worklist.add(wanted(), event="event 1")
    worklist.end(first.number, "done", "version 3 serves")
    again, is_new = worklist.add(wanted(version=4), event="event 2")
    assert (again.number, again.version, again.outcome, is_new) == (first.number, 3, "version 3 serves", False)
    assert worklist.unseen(["event 1", "event 2", "event 3"]) == {"event 3"}
    assert [what for _, what in worklist.history(first.number)] == [
        "done: version 3 serves",
        "told of again by event 2",
    ]


@in_both
@pytest.mark.parametrize(
    ("changed", "is_same"),
    [
        ({}, True),
        ({"identity": {}}, True),  # by its number alone: the one that is there
        ({"version": 4}, False),
        ({"model": "cxr_multilabel"}, False),
        ({"identity": {"mlflow_run_id": "of another registry"}}, False),
    ],
)
def test_a_request_under_way_is_enough_for_the_same_version(cxr_home, changed, is_same):
    worklist = Worklist()
    first, _ = worklist.add(wanted("one", identity={"mlflow_run_id": "ab"}))
    worklist.start(first.number)
    second = wanted("two", **{"identity": {"mlflow_run_id": "ab"}, **changed})
    assert (worklist.add(second, unless_open=True)[0].number == first.number) is is_same
    worklist.end(first.number, "failed", "no registry")
    assert worklist.add(wanted("three"), unless_open=True)[0].number != first.number


@in_both
def test_a_request_ends_once(cxr_home):
    worklist = Worklist()
    made, _ = worklist.add(wanted())
    assert worklist.end(made.number, "failed", "first")
    assert not worklist.end(made.number, "done", "second")
    assert worklist.find(made.number).outcome == "first"
    worklist.reopen(made.number, "its run was cleared")
    assert worklist.find(made.number).state == "started"
    assert worklist.end(made.number, "done", "third")
    assert [what for _, what in worklist.history(made.number)] == [
        "failed: first",
        "its run was cleared",
        "done: third",
    ]


@in_both
def test_runs_of_other_origin_come_in_once(cxr_home):
    worklist, now = Worklist(), datetime.now(UTC)
    first = worklist.add_run(wanted("run"), "cxr_release", "manual__1", now)
    assert worklist.add_run(wanted("run"), "cxr_release", "manual__1", now) == first
    assert (first.state, first.started_at) == ("started", now)
    worklist.tell("cxr_release", "manual__1", "version 3 serves")
    assert worklist.of_run("cxr_release", "manual__1").result == "version 3 serves"


@in_both
def test_the_listing_is_filtered_and_the_newest_come_last(cxr_home):
    worklist = Worklist()
    made = [
        worklist.add(wanted(str(place), model=("cxr_binary", "cxr_multilabel")[place % 2]))[0] for place in range(6)
    ]
    worklist.end(made[0].number, "done", "")
    assert [one.number for one in worklist.listing(limit=2)] == [5, 6]
    assert [one.number for one in worklist.listing(model="cxr_binary", states=("waiting",))] == [3, 5]
    assert worklist.listing(kind="report") == []
    assert worklist.listing(since=datetime.now(UTC) + timedelta(seconds=1)) == []


def _add_and_end(home: str, n: int, worker: int) -> None:
    os.environ["CXR_HOME"] = home
    worklist = Worklist()
    for place in range(n):
        made, _ = worklist.add(wanted(f"key {place}"), event=f"event {worker} {place}")
        worklist.end(made.number, "done", f"by {worker}")


@in_both
def test_processes_that_race_make_each_request_once_and_end_it_once(cxr_home):
    made = multiprocessing.get_context("spawn")
    workers = [made.Process(target=_add_and_end, args=(str(cxr_home), 20, worker)) for worker in range(4)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    assert {one.exitcode for one in workers} == {0}
    found = Worklist().listing()
    assert sorted(one.key for one in found) == sorted(f"key {place}" for place in range(20))
    for one in found:
        assert sum(what.startswith("done:") for _, what in Worklist().history(one.number)) == 1


def _add_for_ever(home: str) -> None:
    os.environ["CXR_HOME"] = home
    worklist, place = Worklist(), 0
    while True:
        worklist.add(wanted(f"key {place}"), event=f"event {place}")
        place += 1


@in_both
def test_a_killed_process_leaves_whole_requests(cxr_home):
    killed = multiprocessing.get_context("spawn").Process(target=_add_for_ever, args=(str(cxr_home),))
    killed.start()
    wait_until(lambda: len(Worklist().listing(limit=50)) >= 20, "twenty requests")
    os.kill(killed.pid, signal.SIGKILL)
    killed.join()
    found = Worklist().listing(limit=10_000)
    assert [one.key for one in found] == [f"key {place}" for place in range(len(found))]
    assert Worklist().unseen(f"event {place}" for place in range(len(found))) == set()
    assert Worklist().add(wanted("after"))[1]


def test_a_file_that_is_no_list_is_named(cxr_home):
    worklist_path().parent.mkdir(parents=True)
    worklist_path().write_text("this is not a database" * 100)
    with pytest.raises(
        ServiceUnavailable, match=r"requests\.db: expected the list of requests, found: .*not a database"
    ):
        Worklist().listing()


@pytest.mark.cluster
@pytest.mark.parametrize("cxr_home", ["postgres"], indirect=True)
def test_the_list_of_one_machine_is_taken_over_once(cxr_home, monkeypatch):
    with monkeypatch.context() as before:
        before.delenv("CXR_DATABASE")
        first, _ = Worklist().add(wanted("one"), event="event 1")
        second, _ = Worklist().add(wanted("two", version=4, parent=first.number))
        Worklist().end(first.number, "done", "version 3 serves")
        Worklist().mark("seen", datetime(2026, 11, 30, tzinfo=UTC))
        had = Worklist().listing()
    worklist = Worklist()
    assert worklist.listing() == had == [worklist.find(first.number), worklist.find(second.number)]
    assert worklist.unseen(["event 1", "event 2"]) == {"event 2"}
    assert [what for _, what in worklist.history(first.number)] == ["done: version 3 serves"]
    assert worklist.mark("seen", datetime.now(UTC)) == datetime(2026, 11, 30, tzinfo=UTC)
    third, is_new = worklist.add(wanted("three"))
    assert is_new and third.number == second.number + 1
    with monkeypatch.context() as before:
        before.delenv("CXR_DATABASE")
        assert len(Worklist().listing()) == 2  # the file stays as it was


@pytest.mark.cluster
@pytest.mark.parametrize("cxr_home", ["postgres"], indirect=True)
def test_a_database_that_is_away_is_named(cxr_home):
    (cxr_home / "secrets" / "shared_database").write_text("postgresql://cxr:x@127.0.0.1:9/cxr")
    with pytest.raises(ServiceUnavailable, match="does not answer for 'the list of requests'"):
        Worklist().listing()

"""Outages of what serves stand in the audit log, to a look of the watcher."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cxr_tasks.registry.audit import trail
from cxr_tasks.registry.outages import outage_at, outages
from serving.release.outage_watch import OutageWatch
from serving.served.state import ServingState, locked, write_state

MODEL = "cxr_binary"
START = datetime(2026, 11, 29, 6, 0, tzinfo=UTC)


class Clock:
    """Moves on by 15 s with each look; ``answers`` is what the server has loaded."""

    def __init__(self) -> None:
        self.time, self.answers = START, [3]
        self.watch = self.new_watch()

    def new_watch(self) -> OutageWatch:
        return OutageWatch([MODEL], lambda model: self.answers, now=lambda: self.time)

    def looks(self, number: int) -> None:
        for _ in range(number):
            self.watch.look()
            self.time += timedelta(seconds=15)


@pytest.fixture
def clock(cxr_home: Path) -> Clock:
    folder = cxr_home / "served" / MODEL / "3"
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").touch()
    write_state(MODEL, ServingState(stable=3, handled=3))
    return Clock()


def told() -> list[tuple[str, float, float | None]]:
    """Why, and seconds after the start of beginning and end."""
    return [
        (
            one.why,
            (one.since - START).total_seconds(),
            None if one.until is None else (one.until - START).total_seconds(),
        )
        for one in outages(trail.entries(MODEL))
    ]


def test_version_that_answers_leaves_no_note(clock: Clock):
    clock.looks(10)
    assert trail.entries(MODEL) == []


def test_server_that_is_down_is_noted_once_from_the_last_look_that_found_it(clock: Clock):
    clock.looks(4)  # seen last at 45 s
    clock.answers = []
    clock.looks(20)
    assert told() == [("the model server is down, or has not loaded it", 45, None)]
    clock.answers = [3]
    clock.looks(3)  # found again at 360 s
    assert told() == [("the model server is down, or has not loaded it", 45, 360)]
    assert [one.kind for one in trail.entries(MODEL)] == ["outage_began", "outage_ended"]
    assert outage_at(trail.entries(MODEL), START + timedelta(seconds=100)) is not None
    assert outage_at(trail.entries(MODEL), START + timedelta(seconds=400)) is None
    assert trail.verify() == []


def test_folder_that_is_gone_is_the_reason(clock: Clock, cxr_home: Path):
    clock.looks(1)
    (cxr_home / "served" / MODEL / "3" / "saved_model.pb").unlink()
    clock.answers = []
    clock.looks(2)
    assert "is gone or not whole" in told()[0][0]


def test_one_look_is_no_outage(clock: Clock):
    """A server that is started again."""
    clock.looks(2)
    clock.answers = []
    clock.looks(1)
    clock.answers = [3]
    clock.looks(5)
    assert told() == []


def test_time_in_which_nothing_watched_is_noted_when_the_watcher_starts_anew(clock: Clock):
    clock.looks(2)  # seen last at 15 s
    clock.time = START + timedelta(hours=8)
    clock.watch = clock.new_watch()
    clock.looks(3)
    assert told() == [("the stack was down, or nothing watched", 15, 8 * 3600)]


def test_outage_goes_on_over_a_restart_of_the_watcher(clock: Clock):
    clock.looks(1)
    clock.answers = []
    clock.looks(4)
    clock.watch = clock.new_watch()
    clock.looks(4)
    assert len(trail.entries(MODEL)) == 1
    clock.answers = [3]
    clock.looks(1)
    assert told() == [("the model server is down, or has not loaded it", 0, 135)]


def test_change_of_what_serves_is_no_outage(clock: Clock):
    clock.answers = []
    with locked(MODEL, "a release"):
        clock.looks(10)
    assert told() == []


def test_model_that_serves_nothing_yet_is_passed_over(clock: Clock):
    write_state(MODEL, ServingState())
    clock.answers = []
    clock.looks(10)
    assert told() == []

"""The order of loads and unloads, with servables that load nothing."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tests.waiting import wait_until

pytestmark = [pytest.mark.tf]

AVAILABLE, END = 30, 50


class Model:
    """Stands for a loaded SavedModel; remembers that it was closed."""

    def __init__(self, journal: list[str], name: str) -> None:
        self.journal, self.name = journal, name

    def close(self) -> None:
        self.journal.append(f"close {self.name}")


@pytest.fixture
def stage():
    """(manager, board, journal, broken): versions in ``broken`` fail to load; ``journal`` says what happened when."""
    from serving.server.loading.manager import LoadPolicy, VersionManager
    from serving.server.loading.servable import Servable
    from serving.server.loading.states import StateBoard
    from serving.server.status import StatusError

    journal: list[str] = []
    broken: set[int] = set()

    def load(name: str, version: int, path: Path) -> Servable:
        journal.append(f"load {version}")
        if version in broken:
            raise StatusError("DATA_LOSS", "broken")
        return Servable(name, version, Model(journal, str(version)), None)

    board = StateBoard()
    manager = VersionManager(load, LoadPolicy(max_retries=1, retry_interval_s=0.05), board)
    manager.start()
    yield manager, board, journal, broken
    manager.stop()


def state_of(board, version: int) -> int:
    found = board.of_model("m").get(version)
    return found.state if found else 0


def paths(*versions: int) -> dict[int, Path]:
    return {version: Path(f"/m/{version}") for version in versions}


def test_new_version_is_loaded_before_the_old_one_is_closed(stage):
    manager, board, journal, _ = stage
    manager.aspire("m", paths(1))
    wait_until(lambda: state_of(board, 1) == AVAILABLE)
    manager.aspire("m", paths(2))
    wait_until(lambda: state_of(board, 1) == END)
    assert journal == ["load 1", "load 2", "close 1"]
    assert list(manager.serving["m"]) == [2]


def test_broken_version_is_tried_again_and_the_old_one_serves_on(stage):
    manager, board, journal, broken = stage
    manager.aspire("m", paths(1))
    wait_until(lambda: state_of(board, 1) == AVAILABLE)
    broken.add(2)
    manager.aspire("m", paths(2))
    wait_until(lambda: state_of(board, 2) == END)
    assert journal == ["load 1", "load 2", "load 2"]
    assert board.of_model("m")[2].error.message == "broken"
    assert list(manager.serving["m"]) == [1]


def test_old_version_wanted_again_after_a_broken_one_needs_no_load(stage):
    manager, board, journal, broken = stage
    manager.aspire("m", paths(1))
    wait_until(lambda: state_of(board, 1) == AVAILABLE)
    broken.add(2)
    manager.aspire("m", paths(2))
    wait_until(lambda: state_of(board, 2) == END)
    manager.aspire("m", paths(1))
    wait_until(lambda: tuple(manager.wanted_of("m")) == (1,))
    broken.clear()
    manager.aspire("m", paths(1, 2))  # the broken one was withdrawn in between, so it gets a new try
    wait_until(lambda: state_of(board, 2) == AVAILABLE)
    assert journal.count("load 1") == 1
    assert "close 1" not in journal


def test_nothing_wanted_unloads_everything_and_forgets_no_state(stage):
    manager, board, journal, _ = stage
    manager.aspire("m", paths(1, 2))
    wait_until(lambda: state_of(board, 1) == AVAILABLE == state_of(board, 2))
    assert journal == ["load 2", "load 1"]  # the newest first
    manager.aspire("m", {})
    wait_until(lambda: state_of(board, 1) == END == state_of(board, 2))
    assert "m" not in manager.serving
    assert list(board.of_model("m")) == [2, 1]


def test_version_is_closed_only_when_its_last_holder_lets_go(stage):
    manager, board, journal, _ = stage
    manager.aspire("m", paths(1))
    wait_until(lambda: state_of(board, 1) == AVAILABLE)
    held = manager.serving["m"][1]
    assert held.hold()
    manager.aspire("m", {})
    wait_until(lambda: "m" not in manager.serving)
    time.sleep(0.1)
    assert "close 1" not in journal
    held.release()
    wait_until(lambda: state_of(board, 1) == END)
    assert journal == ["load 1", "close 1"]
    assert not held.hold()


def test_load_that_breaks_in_any_way_is_a_failed_load(stage):
    manager, board, _, _ = stage
    manager._load = lambda name, version, path: 1 / 0
    manager.aspire("m", paths(1))
    wait_until(lambda: state_of(board, 1) == END)
    assert board.of_model("m")[1].error.message == "ZeroDivisionError: division by zero"


def test_waiting_ends_with_the_failures_of_models_that_do_not_serve(stage):
    manager, board, _, broken = stage
    broken.add(7)
    manager.aspire("m", paths(7))
    manager.aspire("n", paths(1))
    failed = board.wait_until_settled(["m", "n"], manager.wanted_of, lambda: True)
    assert {name: {version: str(error) for version, error in held.items()} for name, held in failed.items()} == {
        "m": {7: "DATA_LOSS: broken"}
    }


def test_waiting_can_be_given_up(stage):
    manager, board, _, _ = stage
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    assert board.wait_until_settled(["never"], manager.wanted_of, lambda: not stop.is_set()) is None

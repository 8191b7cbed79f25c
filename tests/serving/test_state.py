"""The serving state on disk, what is derived where there is none, and the lock that dies with its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect, ServiceUnavailable
from cxr_tasks.installation.storage.paths import PROJECT_ROOT
from serving.served.state import ServingState, is_being_changed, locked, read_state, write_state
from tests.conftest import in_both

HOLDER = """
import sys, time
from serving.served.state import locked
with locked("cxr_binary", "a release of version 7"):
    print("held", flush=True)
    time.sleep(600)
"""


@in_both
def test_a_written_state_is_read_again(cxr_home):
    state = ServingState(stable=3, previous=2, canary=5, changing=4, handled=4)
    write_state("cxr_binary", state)
    assert read_state("cxr_binary") == state
    assert read_state("cxr_multilabel") == ServingState()


@pytest.mark.parametrize(
    ("on_disk", "expected"),
    [
        ([], ServingState()),
        ([4], ServingState(stable=4, handled=4)),
        ([3, 4], ServingState(stable=4, previous=3, handled=4)),
        ([9, 10, 2], ServingState(stable=10, previous=9, handled=10)),
    ],
)
def test_an_installation_without_states_goes_on_with_its_newest(cxr_home, on_disk, expected):
    for version in on_disk:
        (cxr_home / "served" / "cxr_binary" / str(version)).mkdir(parents=True)
    assert read_state("cxr_binary") == expected


def test_what_is_loaded_kept_and_due():
    state = ServingState(stable=3, previous=2, canary=5, changing=4, handled=3)
    assert state.loaded == (3, 4, 5)
    assert state.kept == {2, 3, 4, 5}
    assert not state.is_due(3)
    assert state.is_due(4)
    assert ServingState().is_due(1)


def test_a_broken_state_is_named(cxr_home):
    path = cxr_home / "served" / "cxr_binary" / "state.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    with pytest.raises(DataDefect, match=r"state\.json: expected JSON"):
        read_state("cxr_binary")
    path.write_text('{"stabel": 3}')
    with pytest.raises(ConfigurationError, match="did you mean 'stable'"):
        read_state("cxr_binary")


def test_the_lock_is_one_models_and_names_its_holder(cxr_home):
    assert not is_being_changed("cxr_binary")
    with locked("cxr_binary", "a release of version 7"):
        assert is_being_changed("cxr_binary")
        assert not is_being_changed("cxr_multilabel")
        with (
            pytest.raises(ServiceUnavailable, match=rf"found a release of version 7 \(process {os.getpid()}\)"),
            locked("cxr_binary", wait_s=0),
        ):
            pass
        with locked("cxr_multilabel", wait_s=0):
            pass
    assert not is_being_changed("cxr_binary")
    with locked("cxr_binary", wait_s=0):
        pass


def test_the_next_one_waits_for_the_holder(cxr_home):
    order = []

    def second() -> None:
        with locked("cxr_binary", wait_s=30):
            order.append("second")

    with locked("cxr_binary"):
        waiting = threading.Thread(target=second)
        waiting.start()
        time.sleep(0.2)
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]


def test_the_lock_of_a_killed_process_is_free(cxr_home):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True, cwd=PROJECT_ROOT)
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ServiceUnavailable, match="a release of version 7"), locked("cxr_binary", wait_s=0):
            pass
        holder.send_signal(signal.SIGKILL)
        with locked("cxr_binary", wait_s=10):
            pass
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


@pytest.mark.cluster
@pytest.mark.parametrize("cxr_home", ["postgres"], indirect=True)
def test_where_several_machines_work_a_file_as_it_was_is_not_believed(cxr_home):
    path = cxr_home / "served" / "cxr_binary" / "state.json"
    write_state("cxr_binary", ServingState(stable=3, handled=3))
    former = path.read_text()
    write_state("cxr_binary", ServingState(stable=4, previous=3, handled=4))
    path.write_text(former)  # as a network volume gives it for some seconds
    assert read_state("cxr_binary").stable == 4
    path.unlink()
    assert read_state("cxr_binary").previous == 3


@pytest.mark.cluster
@pytest.mark.parametrize("cxr_home", ["postgres"], indirect=True)
def test_the_state_of_one_machine_is_taken_over(cxr_home, monkeypatch):
    with monkeypatch.context() as before:
        before.delenv("CXR_DATABASE")
        write_state("cxr_binary", ServingState(stable=3, handled=3))
    assert read_state("cxr_binary").stable == 3
    with locked("cxr_binary"):
        write_state("cxr_binary", ServingState(stable=5, previous=3, handled=5))
    assert (cxr_home / "served" / "cxr_binary" / "state.json").read_text().count('"stable": 5') == 1

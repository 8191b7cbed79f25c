"""The state file: whole or absent, and one trainer per folder."""

from __future__ import annotations

import multiprocessing

import numpy as np
import pytest

from cxr_tasks.contracts.errors import DataDefect, ServiceUnavailable
from cxr_tasks.train.loop.resume import STATE_FILE, SavedState, load_state, only_one_trainer, save_state


def make_state() -> SavedState:
    # More than ten arrays, so that an order by name would show; a scalar and two types among them.
    current = [np.full((2, number), number, np.float32) for number in range(12)] + [np.int64(41), np.array([1, 2])]
    return SavedState(current=current, best=[np.eye(3)], progress={"history": [{"epoch": 1, "loss": 0.25}]})


def test_state_comes_back_equal_and_replaces_the_one_before(tmp_path):
    save_state(tmp_path, SavedState([], [], {}))
    save_state(tmp_path, make_state())
    found = load_state(tmp_path)
    assert found is not None and found.progress == make_state().progress
    for kind in ("current", "best"):
        pairs = list(zip(getattr(found, kind), getattr(make_state(), kind), strict=True))
        assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in pairs)
    assert [file.name for file in tmp_path.iterdir()] == [STATE_FILE]


def test_no_state_is_none(tmp_path):
    assert load_state(tmp_path) is None


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut"])
def test_broken_state_is_named(tmp_path, content):
    (tmp_path / STATE_FILE).write_bytes(content)
    with pytest.raises(DataDefect, match=r"state\.npz: expected a training state"):
        load_state(tmp_path)


def _try_lock(folder, answer):
    try:
        with only_one_trainer(folder):
            answer.put("held")
    except ServiceUnavailable as error:
        answer.put(str(error))


def test_a_second_trainer_is_sent_away_until_the_first_has_ended(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    answer = spawn.Queue()
    with only_one_trainer(tmp_path):
        other = spawn.Process(target=_try_lock, args=(tmp_path, answer))
        other.start()
        assert "expected nobody else to change it, found training" in answer.get(timeout=300)
        other.join()
    other = spawn.Process(target=_try_lock, args=(tmp_path, answer))
    other.start()
    assert answer.get(timeout=300) == "held"
    other.join()

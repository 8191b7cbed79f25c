from __future__ import annotations

import os
import subprocess

import pytest

from cxr_tasks.sources._pool import available_cores, map_in_processes


def doubled(numbers):
    return [2 * number for number in numbers]


def process_ids(numbers):
    return [os.getpid() for _ in numbers]


def failing(numbers):
    raise ValueError(f"chunk from {numbers[0]}")


@pytest.mark.parametrize("n_items", [0, 1, 7, 8, 9, 50])
def test_results_come_in_the_order_of_the_items(n_items):
    results = map_in_processes(doubled, iter(range(n_items)), chunk_size=8)
    assert list(results) == [2 * number for number in range(n_items)]


def test_items_are_taken_as_needed_not_all_at_once():
    taken = []

    def items():
        for number in range(1000):
            taken.append(number)
            yield number

    results = map_in_processes(doubled, items(), chunk_size=10)
    next(results)
    assert len(taken) == 10


@pytest.mark.parametrize("n_workers", [1, 2])
def test_short_work_stays_in_this_process(n_workers):
    assert set(map_in_processes(process_ids, range(30), chunk_size=8, n_workers=n_workers)) == {os.getpid()}


def test_what_is_left_after_the_patience_goes_to_workers_in_order():
    # sorted is found by every worker by name; a function of this test module would not be.
    results = map_in_processes(sorted, range(100), chunk_size=5, n_workers=2, patience_s=0)
    assert list(results) == list(range(100))


def test_one_core_never_starts_workers():
    results = map_in_processes(process_ids, range(30), chunk_size=8, n_workers=1, patience_s=0)
    assert set(results) == {os.getpid()}


def test_an_error_of_the_work_comes_out():
    with pytest.raises(ValueError, match="chunk from 0"):
        list(map_in_processes(failing, range(4)))


def test_there_is_a_core():
    assert available_cores() >= 1


def test_the_work_goes_on_here_until_a_worker_is_ready():
    # Tells the process it was asked by, and can be found by workers by its name.
    quick, slow = ["sh", "-c", "echo $PPID"], ["sh", "-c", "echo $PPID; sleep 0.03"]
    # The first ones are done before a process can start, on a busy machine too; the others outlast its start.
    asked = quick * 3 + slow * 597
    told = bytes(map_in_processes(subprocess.check_output, asked, chunk_size=3, n_workers=2, patience_s=0))
    processes = [int(one) for one in told.split()]
    assert processes[:3] == [os.getpid()] * 3
    assert len(processes) == 600
    assert processes[-1] != os.getpid()

from __future__ import annotations

import os
import subprocess
import time

import pytest

from cxr_tasks.installation import processes as _pool
from cxr_tasks.installation.processes import available_cores, map_in_processes


def doubled(numbers):
    return [2 * number for number in numbers]


def process_ids(numbers):
    return [os.getpid() for _ in numbers]


def failing(numbers):
    raise ValueError(f"chunk from {numbers[0]}")


@pytest.mark.parametrize("n_items", [0, 1, 15, 16, 17, 50])
def test_results_come_in_the_order_of_the_items(n_items):
    results = map_in_processes(doubled, iter(range(n_items)), n_items=n_items)
    assert list(results) == [2 * number for number in range(n_items)]


def test_items_are_taken_as_needed_not_all_at_once():
    taken = []

    def items():
        for number in range(1000):
            taken.append(number)
            yield number

    results = map_in_processes(doubled, items(), n_items=1000)
    next(results)
    assert len(taken) == _pool.FIRST_CHUNK


@pytest.mark.parametrize("n_workers", [1, 2])
def test_short_work_stays_in_this_process(n_workers):
    assert set(map_in_processes(process_ids, range(30), n_items=30, n_workers=n_workers)) == {os.getpid()}


def test_what_is_left_after_the_patience_goes_to_workers_in_order():
    # sorted is found by every worker by name; a function of this test module would not be.
    results = map_in_processes(sorted, range(100), n_items=100, n_workers=2, patience_s=0)
    assert list(results) == list(range(100))


@pytest.mark.parametrize(("n_items", "n_here"), [(30, 30), (10**7, _pool.FIRST_CHUNK)])
def test_how_much_is_left_decides_whether_workers_start(monkeypatch, n_items, n_here):
    here = []
    monkeypatch.setattr(_pool, "_in_workers", lambda function, chunks, n_workers: iter([[0] for _ in chunks]))
    chunks = _pool.map_chunks_in_processes(
        lambda numbers: here.extend(numbers) or time.sleep(0.001) or [1],
        range(30),
        n_items=lambda: n_items,
        n_workers=2,
    )
    list(chunks)
    assert len(here) == n_here


def test_one_core_never_starts_workers():
    results = map_in_processes(process_ids, range(30), n_items=30, n_workers=1, patience_s=0)
    assert set(results) == {os.getpid()}


def test_an_error_of_the_work_comes_out():
    with pytest.raises(ValueError, match="chunk from 0"):
        list(map_in_processes(failing, range(4), n_items=4))


def test_there_is_a_core():
    assert available_cores() >= 1


def test_the_work_goes_on_here_until_a_worker_is_ready(monkeypatch):
    # A chunk is one command, which tells the process it was asked by; workers find check_output by its name.
    for name, value in (("FIRST_CHUNK", 3), ("LARGEST_CHUNK", 3), ("CHUNK_S", 1e6)):
        monkeypatch.setattr(_pool, name, value)
    quick, slow = ["sh", "-c", "echo $PPID"], ["sh", "-c", "echo $PPID; sleep 0.03"]
    # The first ones are done before a process can start, on a busy machine too; the others outlast its start.
    asked = quick * 3 + slow * 297
    results = map_in_processes(subprocess.check_output, asked, n_items=len(asked), n_workers=2, patience_s=0)
    told = bytes(results)
    processes = [int(one) for one in told.split()]
    assert processes[:3] == [os.getpid()] * 3
    assert len(processes) == 300
    assert processes[-1] != os.getpid()


@pytest.mark.parametrize("before", [None, "4"])
def test_workers_do_linear_algebra_in_one_thread_and_the_setting_comes_back(monkeypatch, before):
    if before is None:
        monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", before)
    # A chunk is one command, as above.
    for name, value in (("FIRST_CHUNK", 3), ("LARGEST_CHUNK", 3), ("CHUNK_S", 1e6)):
        monkeypatch.setattr(_pool, name, value)
    asked = ["sh", "-c", "echo $OPENBLAS_NUM_THREADS; sleep 0.03"] * 150
    results = map_in_processes(subprocess.check_output, asked, n_items=len(asked), n_workers=2, patience_s=0)
    told = bytes(results).decode().splitlines()
    # While the first worker starts, this process goes on under the same setting.
    assert (told[0], told[-1]) == (before or "", "1")
    assert os.environ.get("OPENBLAS_NUM_THREADS") == before

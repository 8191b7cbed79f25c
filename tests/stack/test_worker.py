"""A worker of another machine: what it refuses, and that two on one machine are two."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest

from cxr_tasks.contracts.errors import ConfigurationError, ServiceUnavailable
from cxr_tasks.installation.children import allow_children
from cxr_tasks.installation.engines import Engines
from cxr_tasks.installation.storage.paths import PROJECT_ROOT
from cxr_tasks.stack.worker import ALL_QUEUES, worker_command


@pytest.fixture
def celery(settings):
    """Settings of a stack with CeleryExecutor, recorded as if it were up."""
    engines = Engines(executor="CeleryExecutor", database="postgres")
    changed = dataclasses.replace(settings, engines=engines)
    changed.record.parent.mkdir(parents=True)
    changed.record.write_text(json.dumps(changed.as_record()))
    assert type(settings).load() == changed
    return changed


def test_a_stack_that_is_not_up_has_no_workers(settings):
    with pytest.raises(ServiceUnavailable, match="is not running; start it with 'make up'"):
        worker_command(settings, "cpu", 1, "")


def test_a_stack_of_one_machine_has_no_workers(settings):
    settings.record.parent.mkdir(parents=True)
    settings.record.touch()
    with pytest.raises(ConfigurationError, match="runs on LocalExecutor, which has no workers"):
        worker_command(settings, "cpu", 1, "")


@pytest.mark.parametrize(
    ("queues", "slots", "message"),
    [("cpu,gpus", 1, "expected some of cpu, release, gpu; did you mean 'gpu'"), ("cpu", 0, "--slots 0: expected")],
)
def test_what_cannot_be_is_named(celery, queues, slots, message):
    with pytest.raises(ConfigurationError, match=message):
        worker_command(celery, queues, slots, "")


def test_two_workers_of_one_machine_have_names_and_files_of_their_own(celery):
    first, second = (worker_command(celery, ",".join(ALL_QUEUES), 2, "a") for _ in range(2))
    for option in ("--celery-hostname", "--pid"):
        assert first[first.index(option) + 1] != second[second.index(option) + 1]
    assert first[first.index("--pid") + 1].startswith("/") and str(celery.home) not in first[first.index("--pid") + 1]


IN_A_WORKER = """
import sys
from billiard import Pool, current_process


def work(number):
    from cxr_tasks.installation.processes import map_in_processes

    assert current_process().daemon
    return list(map_in_processes(doubled, range(100), n_items=100, n_workers=2, patience_s=-1.0))


def doubled(chunk):
    return [2 * one for one in chunk]


if __name__ == "__main__":
    with Pool(1) as pool:
        print(pool.apply(work, (0,)) == list(range(0, 200, 2)))
"""


def test_a_task_of_a_celery_worker_may_work_in_processes(tmp_path):
    pytest.importorskip("billiard", reason="Celery is not installed: make CLUSTER=1")
    script = tmp_path / "a_worker.py"
    script.write_text(IN_A_WORKER)
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={"PYTHONPATH": str(PROJECT_ROOT), "PATH": "/usr/bin"},
    )
    assert done.stdout == "True\n", done.stderr[-2000:]


def test_a_process_of_any_other_kind_is_left_as_it_is():
    import multiprocessing

    before = dict(multiprocessing.current_process()._config)
    allow_children()
    assert dict(multiprocessing.current_process()._config) == before

"""Processes are found by their mark, wherever in the tree they are, and stopped."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from cxr_tasks.installation.storage.paths import PROJECT_ROOT
from cxr_tasks.stack.marked_processes import MARK, PROGRAM_MARK, leftovers, stop_processes

SLEEP = "import time; print('ready', flush=True); time.sleep(600)"
#: Ignores the request to end, as a hanging program does.
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"
#: A child in a session of its own, whose parent ends at once: what a killed program leaves.
ORPHAN = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEP!r}], start_new_session=True)"
RENAMED = f"import setproctitle; setproctitle.setproctitle('airflow worker -- ' + 'x' * 500); {SLEEP}"


@contextmanager
def started(code: str, home: Path, program: str = "mlflow") -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, MARK: str(home), PROGRAM_MARK: program, "SPT_NOENV": "1"}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"ready\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        stop_processes(leftovers(home), patience_s=5)


def test_only_the_stacks_own_processes_are_found(tmp_path: Path):
    with started(SLEEP, tmp_path / "a") as mine, started(SLEEP, tmp_path / "b"):
        assert [one.pid for one in leftovers(tmp_path / "a")] == [mine.pid]


def test_one_program_of_a_stack(tmp_path: Path):
    with started(SLEEP, tmp_path, "mlflow"), started(SLEEP, tmp_path, "api-server") as api:
        assert [one.pid for one in leftovers(tmp_path, program="api-server")] == [api.pid]


def test_orphan_in_a_session_of_its_own_is_found_and_stopped(tmp_path: Path):
    with started(ORPHAN, tmp_path) as parent:
        parent.wait(timeout=300)
        (orphan,) = leftovers(tmp_path)
        assert orphan.pid != parent.pid
        assert stop_processes([orphan], patience_s=5) == []
        assert leftovers(tmp_path) == []


def test_process_that_renamed_itself_is_found(tmp_path: Path):
    """Airflow's workers do; without SPT_NOENV the new name overwrites the environment that others see."""
    with started(RENAMED, tmp_path) as process:
        assert [one.pid for one in leftovers(tmp_path)] == [process.pid]


def test_process_that_does_not_end_is_killed(tmp_path: Path):
    with started(STUBBORN, tmp_path) as process:
        assert stop_processes(leftovers(tmp_path), patience_s=0.3) == []
        assert not psutil.pid_exists(process.pid)


def test_caller_is_never_among_them(tmp_path: Path):
    code = "import sys; from pathlib import Path; from cxr_tasks.stack.marked_processes import leftovers\n"
    code += "print(leftovers(Path(sys.argv[1])))"
    environment = {**os.environ, MARK: str(tmp_path), "PYTHONPATH": str(PROJECT_ROOT)}
    said = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env=environment, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "[]"


def test_a_process_that_has_ended_counts_as_such_before_its_parent_takes_note(tmp_path: Path):
    parent = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {SLEEP!r}]); time.sleep(600)"
    with started(parent, tmp_path) as negligent:
        (child,) = [one for one in leftovers(tmp_path) if one.pid != negligent.pid]
        assert stop_processes([child], patience_s=0.5) == []
        assert child.status() == psutil.STATUS_ZOMBIE

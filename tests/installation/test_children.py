"""A task that is killed outright leaves no worker behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from cxr_tasks.installation.storage.paths import PROJECT_ROOT
from tests.waiting import wait_until

_POOL = """
import os, sys, time
from pathlib import Path
from cxr_tasks.installation.processes import _in_workers

def work(chunk):
    if os.getpid() == int(os.environ["PARENT"]):
        return []  # the parent helps until its workers have started
    Path(sys.argv[1], str(os.getpid())).touch()
    time.sleep(600)
    return []

if __name__ == "__main__":
    os.environ["PARENT"] = str(os.getpid())
    for _ in _in_workers(work, iter([[n] for n in range(10_000_000)]), 2):
        pass
"""

_SERVER = """
import subprocess, sys, time
from pathlib import Path
from serving.check import server_process

server_process.server_executable = lambda: [sys.executable, "-c", "import time; time.sleep(600)"]
with server_process.model_server("cxr_binary", Path("."), Path(sys.argv[1], "log")) as server:
    Path(sys.argv[1], str(server.process.pid)).touch()
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
@pytest.mark.parametrize(("code", "n_children"), [(_POOL, 2), (_SERVER, 1)], ids=["workers", "model server"])
def test_killed_parent_takes_its_children_along(tmp_path: Path, code: str, n_children: int):
    script, told = tmp_path / "task.py", tmp_path / "told"
    script.write_text(code)
    told.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT)}
    task = subprocess.Popen([sys.executable, str(script), str(told)], env=environment, cwd=tmp_path)
    try:
        wait_until(lambda: len(pids(told)) >= n_children or task.poll() is not None)
        assert task.returncode is None, "the task ended by itself"
        children = [psutil.Process(pid) for pid in pids(told)]
        assert {one.ppid() for one in children} == {task.pid}
    finally:
        task.send_signal(signal.SIGKILL)
        task.wait()
    wait_until(lambda: not any(is_alive(one) for one in children))


def pids(folder: Path) -> list[int]:
    return [int(one.name) for one in folder.iterdir() if one.name.isdecimal()]


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

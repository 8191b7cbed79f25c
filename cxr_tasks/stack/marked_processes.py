"""The processes of a stack, found by the mark in their environment, and stopping them for good."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import psutil

#: Set in every process of a stack to its run-time folder: by it, `down` knows all that it has to stop.
MARK = "CXR_STACK_OF"
#: Set in every process of a stack to its program's name.
PROGRAM_MARK = "CXR_STACK_PROGRAM"


def leftovers(home: Path, *, program: str | None = None) -> list[psutil.Process]:
    """This user's processes of the stack in ``home`` (of one ``program`` of it), less the caller and its ancestors."""
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    processes = []
    for process in psutil.process_iter():
        if process.pid in spared:
            continue
        environment = _environment(process)
        if environment.get(MARK) == str(home) and program in (None, environment.get(PROGRAM_MARK)):
            processes.append(process)
    return processes


def stop_processes(processes: Sequence[psutil.Process], *, patience_s: float) -> list[psutil.Process]:
    """Ask each to end, kill after ``patience_s`` those that have not, and return those that are still there."""
    for process in processes:
        _signal(process, kill=False)
    _, alive = psutil.wait_procs(processes, timeout=patience_s)
    alive = [process for process in alive if not _has_ended(process)]
    for process in alive:
        _signal(process, kill=True)
    _, alive = psutil.wait_procs(alive, timeout=5)
    return [process for process in alive if not _has_ended(process)]


def _has_ended(process: psutil.Process) -> bool:
    """Also one whose parent has not taken note yet, as in a container whose first process never does."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _environment(process: psutil.Process) -> dict[str, str]:
    """A process's environment; empty for one that has ended or belongs to another user: neither is ours."""
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return {}
        return process.environ()
    except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
        return {}


def _signal(process: psutil.Process, *, kill: bool) -> None:
    try:
        process.kill() if kill else process.terminate()
    except psutil.NoSuchProcess:
        return  # it ended by itself, which is what was wanted

"""Processes that end with the one that started them, however that ended."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
from multiprocessing import process as standard

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Have the kernel kill this process when its parent ends; called in the child, before it works.

    A task that is killed outright cannot stop its own workers: they would compute on, hold memory and ports, and write
    beside the retry of the same task. Linux only; elsewhere the child lives on as it did.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        os._exit(1)  # it ended before the kernel was told


def allow_children() -> None:
    """Let this process start processes also where it is a worker of Celery, whose own kind of process may not.

    Celery's pool (billiard) marks its workers as daemons, in the object that ``multiprocessing`` of the standard
    library reads too, and keeps the key by which processes know each other there in a class that cannot be pickled.
    """
    process = multiprocessing.current_process()
    if type(process).__module__.partition(".")[0] == "billiard":
        config = process._config  # type: ignore[attr-defined]
        config["daemon"] = False
        config["authkey"] = standard.AuthenticationString(bytes(config["authkey"]))  # type: ignore[attr-defined]

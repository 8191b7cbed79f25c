"""A file as a lock between processes; who dies lets go of it.

On one machine the kernel keeps it (``flock``). Where several machines share the volume, Postgres does, by the file's
path: not every volume carries ``flock`` from one machine to another, and one that does not says nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cxr_tasks.contracts.errors import ServiceUnavailable
from cxr_tasks.installation.storage.addresses import is_shared
from cxr_tasks.installation.storage.shared_rows import (
    holder,
    is_connected,
    keep_connected,
    lock_key,
    shared_rows,
    take,
)


@contextlib.contextmanager
def file_lock(
    path: Path, *, what: str, purpose: str, wait_s: float = math.inf, on_wait: Callable[[], None] | None = None
) -> Iterator[None]:
    """Hold the lock file ``path`` for the length of the block; not to be nested, one would wait for the other.

    Args:
        what: What the lock guards, in the error of those who wait in vain.
        purpose: What the holder does, written into the file and shown in that error.
        wait_s: How long to wait for the present holder: 0 asks once, without it as long as it takes.
        on_wait: Called once where somebody else holds the lock, before waiting.

    Raises:
        ServiceUnavailable: Somebody else holds the lock after ``wait_s``; or, after the block, the database that kept
            it ended the connection meanwhile, so that another may have been in at the same time.
    """
    if is_shared():
        with _shared_lock(path, what=what, purpose=purpose, wait_s=wait_s, on_wait=on_wait):
            yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + wait_s
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not (is_held := _taken(descriptor)) and on_wait:
            on_wait()
        while not (is_held or _taken(descriptor)):
            if time.monotonic() >= end:
                raise _in_use(what, _holder(path), wait_s)
            time.sleep(0.05)
        _note(descriptor, f"{purpose} (process {os.getpid()})")
        yield
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock file now; asks without waiting."""
    if is_shared():
        with shared_rows(f"a look at {path.name}") as rows:
            return holder(rows, lock_key(path)) is not None
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextlib.contextmanager
def _shared_lock(
    path: Path, *, what: str, purpose: str, wait_s: float, on_wait: Callable[[], None] | None
) -> Iterator[None]:
    end = time.monotonic() + wait_s
    key = lock_key(path)
    with contextlib.ExitStack() as held:
        rows = held.enter_context(shared_rows(f"{purpose} (process {os.getpid()} of {socket.gethostname()})"))
        if not (is_held := take(rows, key)) and on_wait:
            on_wait()
        while not (is_held or take(rows, key)):
            if time.monotonic() >= end:
                raise _in_use(what, holder(rows, key) or "somebody", wait_s)
            time.sleep(0.2)
        keep_connected(rows)
        yield
        if not is_connected(rows):
            raise ServiceUnavailable(
                f"{what}: expected the lock to be held until {purpose} was done, found that the shared database ended "
                "the connection; another may have changed it meanwhile. Try again"
            )


def _in_use(what: str, holder: str, wait_s: float) -> ServiceUnavailable:
    return ServiceUnavailable(
        f"{what}: expected nobody else to change it, found {holder} after waiting {wait_s:.0f} s; "
        "try again when that has ended"
    )


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _note(descriptor: int, text: str) -> None:
    """Who holds the lock, for people. Where the disk is full the lock holds without it."""
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)


def _holder(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") or "another process"

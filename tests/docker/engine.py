"""A server of others that a test starts, kills as a lost machine would, and starts again on the same ports and data."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.waiting import PATIENCE_S, wait_until


class Engine:
    """``command``, run in ``/``; ``is_ready`` says whether it answers, and what it prints is added to ``log``."""

    def __init__(self, command: list, log: Path, is_ready: Callable[[], bool]):
        self._command, self._log, self._is_ready = [str(one) for one in command], log, is_ready
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start it without waiting until it answers."""
        assert self._process is None, "it runs"
        with open(self._log, "ab") as stream:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, cwd="/"
            )

    def wait(self) -> None:
        """Until it answers; fails with its log where it ends or never does."""
        wait_until(
            self._is_ready, f"{self._command[:2]} to answer", of=self._process,
            tell=lambda: self._log.read_text(errors="replace")[-2000:],
        )  # fmt: skip

    def kill(self) -> None:
        """At once, with all that it started; nothing is written any more."""
        if self._process is None:
            return
        family: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            family = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        for one in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        self._process.wait()
        psutil.wait_procs(family, timeout=PATIENCE_S)
        self._process = None


def answers(port: int) -> bool:
    """Whether somebody listens on ``port`` of this machine."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0

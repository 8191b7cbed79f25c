"""The way from a server's answers to the writer of its log; no request ever waits on it or fails by it."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import IO, Generic, TypeVar

from cxr_tasks.predictions.frames import Frame, WriterSettings

log = logging.getLogger(__name__)

T = TypeVar("T")
#: Bytes and requests that wait for the writer; what comes beyond is counted as lost, and told with the next row.
WAITING_BYTES, WAITING_REQUESTS = 64 << 20, 512
#: Before a writer that ended is started again.
AGAIN_S = 5.0
#: Half of what stopping waits for the writer at most.
STOP_S = 10.0
_COMMAND = (sys.executable, "-m", "cxr_tasks.predictions.writer")


class PredictionFeed(Generic[T]):
    """Takes what a server answered, and sends it to a writer process from a thread of its own."""

    def __init__(
        self, settings: WriterSettings, frame_of: Callable[[T, int], Frame | None],
        command: tuple[str, ...] = _COMMAND, again_s: float = AGAIN_S, stop_s: float = STOP_S,
    ) -> None:  # fmt: skip
        """``frame_of``: what is offered, and the number of requests lost before, as a frame; None leaves it out."""
        self._settings, self._frame_of, self._command, self._again_s = settings, frame_of, command, again_s
        self._stop_s = stop_s
        self._waiting: deque[tuple[T, int]] = deque()
        self._n_bytes = self._n_lost = 0
        self._changed = threading.Condition()
        self._is_ending = False
        self._writer: subprocess.Popen[bytes] | None = None
        self._not_before = 0.0
        self._thread = threading.Thread(target=self._send_all, name="prediction-log", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Send what waits, let the writer write it, and end both."""
        with self._changed:
            self._is_ending = True
            self._changed.notify()
        self._thread.join(self._stop_s)
        with self._changed:
            if self._waiting:
                log.warning("prediction log: %d requests still waited for the writer and are lost", len(self._waiting))
            self._waiting.clear()
        self._thread.join(self._stop_s)
        writer = self._writer
        if writer is None:
            return
        if self._thread.is_alive():
            # It waits for a writer that reads no more; closing the pipe would wait with it.
            log.warning("prediction log: the writer hangs and is ended")
            writer.kill()
            writer.wait()
            return
        if writer.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                writer.stdin.close()
        # It writes what it has and ends, also after this process.
        with contextlib.suppress(subprocess.TimeoutExpired):
            writer.wait(self._stop_s)

    def offer(self, answered: T, n_bytes: int) -> None:
        """Take ``answered``, whose images hold ``n_bytes``, if there is room; else count it as lost."""
        with self._changed:
            if len(self._waiting) >= WAITING_REQUESTS or self._n_bytes + n_bytes > WAITING_BYTES:
                self._n_lost += 1
                return
            self._waiting.append((answered, n_bytes))
            self._n_bytes += n_bytes
            self._changed.notify()

    def _send_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_ending)
                if not self._waiting:
                    return
                answered, n_bytes = self._waiting.popleft()
                n_lost, self._n_lost = self._n_lost, 0
            n_untold = self._send(answered, n_lost)
            del answered
            with self._changed:
                self._n_bytes -= n_bytes
                self._n_lost += n_untold

    def _send(self, answered: T, n_lost: int) -> int:
        """Send one; how many requests are lost that the writer was not told of."""
        try:
            frame = self._frame_of(answered, n_lost)
        except Exception:
            log.exception("prediction log: an answer could not be read and is left out")
            return n_lost + 1
        if frame is None:
            return n_lost
        try:
            stream = self._stream()
            if stream is None:
                return n_lost + 1
            frame.write(stream)
        except OSError as error:
            log.warning("prediction log: the writer has ended (%s); it is started again", error)
            self._let_go()
            return n_lost + 1
        return 0

    def _stream(self) -> IO[bytes] | None:
        """The writer's input; None while it is too soon to start it again."""
        if self._writer is None:
            if time.monotonic() < self._not_before:
                return None
            self._not_before = time.monotonic() + self._again_s
            self._writer = subprocess.Popen(self._command, stdin=subprocess.PIPE)  # noqa: S603  our own module
            if self._writer.stdin is not None:
                self._settings.write(self._writer.stdin)
        return self._writer.stdin

    def _let_go(self) -> None:
        if self._writer is not None:
            self._writer.kill()
            self._writer.wait()
        self._writer = None

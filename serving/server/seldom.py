"""Log lines that clients can cause at will: one each while, with the number of those held back."""

from __future__ import annotations

import logging
import threading
import time


class Seldom:
    """Lets a line through every ``every_s`` seconds at most. Thread-safe."""

    def __init__(self, log: logging.Logger, every_s: float = 10.0) -> None:
        self._log, self._every_s = log, every_s
        self._next, self._n_held_back = 0.0, 0
        self._lock = threading.Lock()

    def warning(self, text: str, *values: object, with_traceback: bool = False) -> None:
        """Logs ``text % values`` or counts it, for the next line to say how many were left out."""
        with self._lock:
            now = time.monotonic()
            if now < self._next:
                self._n_held_back += 1
                return
            self._next, n_held_back, self._n_held_back = now + self._every_s, self._n_held_back, 0
        also = f" (and {n_held_back} times since the last such line)" if n_held_back else ""
        self._log.warning(text + also.replace("%", "%%"), *values, exc_info=with_traceback)

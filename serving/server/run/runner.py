"""What executes a signature: a loaded model directly, or the batches in front of it; and how long its client waits."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Protocol

import numpy as np


class Patience:
    """How long the client of a call waits: until ``until`` (``time.monotonic``), or until it gives up before."""

    __slots__ = ("_is_given_up", "until")

    def __init__(self, until: float = math.inf) -> None:
        self.until = until
        self._is_given_up = False

    def give_up(self) -> None:
        """The client is gone; whatever has not begun need not be done."""
        self._is_given_up = True

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self._is_given_up or time.monotonic() > self.until

    def left_ms(self) -> int:
        """Milliseconds until the end, at least 1; 0 stands for no end."""
        return 0 if math.isinf(self.until) else max(1, math.ceil((self.until - time.monotonic()) * 1000))


FOR_EVER = Patience()


class Runner(Protocol):
    """Runs tensors by name; raises ``StatusError``."""

    def run(
        self,
        feeds: Sequence[str],
        arrays: Sequence[np.ndarray],
        fetches: Sequence[str],
        patience: Patience = FOR_EVER,
    ) -> list[np.ndarray]:
        """The tensors named ``fetches`` with ``arrays`` in place of the tensors named ``feeds``.

        ``DEADLINE_EXCEEDED`` where ``patience`` ends first; the run ends with it.
        """
        ...

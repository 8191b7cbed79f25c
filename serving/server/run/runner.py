"""What executes a signature: a loaded model directly, or the batches in front of it; and how long its client waits."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np


class Patience:
    """How long the client of a call waits: until ``until`` (``time.monotonic``), or until it gives up before."""

    __slots__ = ("_is_given_up", "_told", "until")

    def __init__(self, until: float = math.inf) -> None:
        self.until = until
        self._is_given_up = False
        self._told: Callable[[], None] | None = None

    def give_up(self) -> None:
        """The client is gone; whatever has not begun need not be done."""
        self._is_given_up = True
        if self._told is not None:
            self._told()

    def tell(self, told: Callable[[], None]) -> None:
        """Has ``told`` called, in whatever thread, when the client gives up or has done so; more than once, perhaps."""
        self._told = told
        if self._is_given_up:
            told()

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self._is_given_up or time.monotonic() > self.until

    def left_ms(self) -> int:
        """Milliseconds until the end, at least 1; 0 stands for no end."""
        return 0 if math.isinf(self.until) else max(1, math.ceil((self.until - time.monotonic()) * 1000))


class _Endless(Patience):
    """Of those who never give up: many at once, so that nobody can be told."""

    __slots__ = ()

    def tell(self, told: Callable[[], None]) -> None:
        """Never calls ``told``."""


FOR_EVER: Patience = _Endless()


class Turn:
    """A turn at something. TensorFlow cannot end a run before its time limit; that its turn ends with its clients keeps
    those who run on for nobody from keeping others out."""

    def __init__(self, give_back: Callable[[], None], n_holders: int = 1) -> None:
        self._give_back, self._n_holders = give_back, n_holders
        self._lock = threading.Lock()

    def leave(self) -> None:
        """One of the holders is gone; the last one gives the turn back."""
        with self._lock:
            self._n_holders -= 1
            is_last = self._n_holders == 0
        if is_last:
            self._give_back()

    def end(self) -> None:
        """Gives the turn back, unless that was done before."""
        with self._lock:
            is_held = self._n_holders > 0
            self._n_holders = 0
        if is_held:
            self._give_back()


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

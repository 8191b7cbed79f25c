"""Requests that come while others run, run together as soon as those are done: nobody ever waits for others to come."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from serving.server.batching.batch_merge import merged, split
from serving.server.metrics import Metrics
from serving.server.run.runner import FOR_EVER, Patience, Runner, Turn
from serving.server.status import StatusError

log = logging.getLogger(__name__)

#: Rows of a joined run. Measured with DenseNet121: 32 together take no less processor time a row than 8 do, and whoever
#: comes meanwhile waits for all of it.
MOST_ROWS = 8
#: Runs of one model beside each other. With two processors, 8 clients and float32, as many runs as processors answered
#: 1.05 times (DenseNet121) and 1.1 times (residual CNN) as many requests as without joining; one run for both
#: processors 0.9 and 1.07 times, since the threads of one run wait for each other after every layer.
N_AT_ONCE = os.cpu_count() or 1

Kind: TypeAlias = tuple[tuple[str, ...], tuple[str, ...], tuple[tuple[np.dtype, tuple[int, ...]], ...]]


@dataclass(slots=True, eq=False)
class _Asked:
    """One request: what it asks, and what became of it once ``is_called`` is set."""

    kind: Kind
    arrays: Sequence[np.ndarray]
    n_rows: int
    patience: Patience
    is_called: threading.Event = field(default_factory=threading.Event)
    together: list[_Asked] | None = None
    """Those to run with, itself first, where this request's thread is to run them."""
    made: list[np.ndarray] | None = None


class JoiningRunner:
    """Runs a model. Any number of threads may call ``run``.

    The thread of a request runs it at once while fewer than ``n_at_once`` others run; else it waits, and the thread of
    the one that waited longest runs all that wait for the same, ``MOST_ROWS`` rows at most. Larger requests are left to
    ``alone``. Where a joined run fails each of its requests runs again alone, so that an image that is refused costs no
    other its answer.
    """

    def __init__(self, name: str, model: Runner, alone: Runner, metrics: Metrics, n_at_once: int | None = None) -> None:
        self._name, self._model, self._alone, self._metrics = name, model, alone, metrics
        self._n_free = n_at_once or N_AT_ONCE
        self._waiting: deque[_Asked] = deque()
        self._lock = threading.Lock()

    def run(
        self,
        feeds: Sequence[str],
        arrays: Sequence[np.ndarray],
        fetches: Sequence[str],
        patience: Patience = FOR_EVER,
    ) -> list[np.ndarray]:
        """The tensors named ``fetches``; the first dimension of all tensors is that of the rows.

        Raises:
            StatusError: ``DEADLINE_EXCEEDED`` where ``patience`` ended while it waited, or what the run failed with.
        """
        n_rows = _rows(arrays)
        if not 0 < n_rows <= MOST_ROWS:
            return self._alone.run(feeds, arrays, fetches, patience)
        kind = (tuple(feeds), tuple(fetches), tuple((array.dtype, array.shape[1:]) for array in arrays))
        asked = _Asked(kind, arrays, n_rows, patience)
        self._wait_for_turn(asked)
        if asked.made is not None:
            return asked.made
        if asked.together is None:
            return self._alone.run(feeds, arrays, fetches, patience)
        turn = Turn(self._end_turn, len(asked.together))
        for asker in asked.together:
            asker.patience.tell(_once(turn.leave))
        try:
            return self._run_all(asked.together)
        finally:
            turn.end()

    def _wait_for_turn(self, asked: _Asked) -> None:
        """Returns with ``asked.together`` where its turn has come, with ``asked.made`` where another has run it, or
        with neither where it is to run alone."""
        with self._lock:
            if self._n_free:
                self._n_free -= 1
                asked.together = [asked]
                return
            self._waiting.append(asked)
        left_ms = asked.patience.left_ms()
        if asked.is_called.wait(left_ms / 1000 if left_ms else None):
            return
        with self._lock:
            is_waiting = asked in self._waiting
            if is_waiting:
                self._waiting.remove(asked)
        if is_waiting:
            raise StatusError("DEADLINE_EXCEEDED", "The time limit of the call ended before its turn came")
        # Another thread has just taken it along, or called it up, and relies on it.
        asked.is_called.wait()

    def _run_all(self, together: list[_Asked]) -> list[np.ndarray]:
        """Runs ``together``, calls up all but the first, and gives the outputs of that one."""
        first, *others = together
        self._metrics.batch_runs.add(())
        self._metrics.batch_sizes.add((self._name, "Session", str(sum(asker.n_rows for asker in together))))
        if others:
            self._run_joined(together)
        for call in others:
            call.is_called.set()
        if first.made is not None:
            return first.made
        feeds, fetches, _ = first.kind
        return self._model.run(feeds, first.arrays, fetches, first.patience)

    def _run_joined(self, together: list[_Asked]) -> None:
        """Sets ``made`` of all, or of none where the run failed; each then runs alone and has its own words for it."""
        feeds, fetches, _ = together[0].kind
        sizes = [asker.n_rows for asker in together]
        # As long as the most patient of them waits.
        longest = Patience(max(asker.patience.until for asker in together))
        try:
            arrays = merged([asker.arrays for asker in together], feeds, sum(sizes), pads_inputs=False)
            parts = split(self._model.run(feeds, arrays, fetches, longest), sizes, sum(sizes))
        except Exception as error:
            log.debug("A run of %d requests together failed, each runs alone: %s", len(together), error)
            return
        for asker, part in zip(together, parts, strict=True):
            asker.made = part

    def _end_turn(self) -> None:
        """Gives the turn to those who wait, or back."""
        with self._lock:
            while self._waiting:
                first = self._waiting.popleft()
                if not first.patience.is_over:
                    first.together = [first, *self._taken_along(first)]
                # Nobody waits for one whose time is over; its own run will say so.
                first.is_called.set()
                if first.together:
                    return
            self._n_free += 1

    def _taken_along(self, first: _Asked) -> list[_Asked]:
        """Takes from those who wait what runs together with ``first``."""
        taken: list[_Asked] = []
        n_rows = first.n_rows
        for waiting in list(self._waiting):
            if waiting.kind == first.kind and n_rows + waiting.n_rows <= MOST_ROWS and not waiting.patience.is_over:
                self._waiting.remove(waiting)
                taken.append(waiting)
                n_rows += waiting.n_rows
        return taken


def _once(do: Callable[[], None]) -> Callable[[], None]:
    """``do``, but for the first call only."""
    left = [do]
    return lambda: left.pop()() if left else None


def _rows(arrays: Sequence[np.ndarray]) -> int:
    """The number of rows that all ``arrays`` have, 0 where there is none."""
    sizes = {len(array) if array.ndim else 0 for array in arrays}
    return sizes.pop() if len(sizes) == 1 else 0

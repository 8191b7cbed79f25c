"""A bound on the runs beside each other, in front of all models of a server."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from serving.server.run.runner import FOR_EVER, Patience, Runner, Turn
from serving.server.status import StatusError


class BoundedRunner:
    """Runs ``model`` while it holds one of ``turns``, which several models may share; until its client gives up."""

    def __init__(self, model: Runner, turns: threading.Semaphore) -> None:
        self._model, self._turns = model, turns

    def run(
        self,
        feeds: Sequence[str],
        arrays: Sequence[np.ndarray],
        fetches: Sequence[str],
        patience: Patience = FOR_EVER,
    ) -> list[np.ndarray]:
        """What the model's ``run`` gives; ``DEADLINE_EXCEEDED`` too where ``patience`` ended before the turn came."""
        left_ms = patience.left_ms()
        if not self._turns.acquire(timeout=left_ms / 1000 if left_ms else None):
            raise StatusError("DEADLINE_EXCEEDED", "The time limit of the call ended before its turn came")
        turn = Turn(self._turns.release)
        patience.tell(turn.end)
        try:
            return self._model.run(feeds, arrays, fetches, patience)
        finally:
            turn.end()

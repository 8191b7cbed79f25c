"""A version that serves: its model, what runs it, and the count of requests that hold it."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

from serving.server.loading.models import LoadedModel
from serving.server.run.runner import Runner


class Servable:
    """A loaded version. A request holds it from look-up to answer; it is closed when nobody holds it any more."""

    def __init__(
        self, name: str, version: int, model: LoadedModel, runner: Runner, joined: Mapping[str, Runner] | None = None
    ) -> None:
        """``joined``: what runs the Predict requests of a signature, where that is not ``runner``."""
        self.name, self.version, self.model, self.runner = name, version, model, runner
        self._joined = joined or {}
        self._n_holders = 0
        self._is_closing = False
        self._idle = threading.Condition()

    @property
    def signatures(self) -> Mapping[str, SignatureDef]:
        """The model's signatures by name."""
        return self.model.signatures

    def runner_of(self, signature_name: str) -> Runner:
        """What runs the Predict requests of a signature."""
        return self._joined.get(signature_name, self.runner)

    def hold(self) -> bool:
        """Takes hold; False where the version is being closed (the caller looks again: another one serves by now)."""
        with self._idle:
            if self._is_closing:
                return False
            self._n_holders += 1
            return True

    def release(self) -> None:
        """Lets go; the last one to do so lets a waiting close go on."""
        with self._idle:
            self._n_holders -= 1
            if not self._n_holders:
                self._idle.notify_all()

    def close_when_idle(self) -> None:
        """Refuses new holders, waits for the present ones and frees the model."""
        with self._idle:
            self._is_closing = True
            self._idle.wait_for(lambda: not self._n_holders)
        self.model.close()

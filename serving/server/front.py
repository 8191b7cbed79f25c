"""The event loop that both ports live in, in a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import os
import threading

import grpc

from serving.server.answers import Answers
from serving.server.flags import ServerOptions
from serving.server.gate import Gate
from serving.server.rest.calls import RestApi
from serving.server.rest.port import RestServer
from serving.server.service import start_grpc

log = logging.getLogger(__name__)


class Front:
    """Both ports on one loop: a connection costs no thread, and who gives up is noticed."""

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="front", daemon=True)
        self._gate = Gate(options, os.cpu_count() or 1)
        self._grpc: grpc.aio.Server | None = None
        self._rest: RestServer | None = None

    def start_grpc(self, answers: Answers) -> None:
        """Opens the gRPC ports.

        Raises:
            StatusError: They cannot be had.
        """
        self._thread.start()
        try:
            self._grpc = self._wait(start_grpc(answers, self._options, self._gate))
        except BaseException:
            self._end()
            raise

    def start_rest(self, api: RestApi) -> None:
        """Opens the REST port.

        Raises:
            OSError: It cannot be had.
        """
        rest = RestServer(api, self._options, self._gate)
        self._wait(rest.start())
        self._rest = rest

    def stop(self, grace_s: float) -> None:
        """Takes no more calls on either port, waits ``grace_s`` for those that run, and ends."""
        if not self._thread.is_alive():
            return
        n_left = self._wait(self._drain(grace_s))
        if n_left:
            log.warning("%d calls had no answer after %g s and are given up", n_left, grace_s)
        self._gate.close()
        self._end()

    async def _drain(self, grace_s: float) -> int:
        ports = [self._grpc.stop(grace_s)] if self._grpc is not None else []
        ports += [self._rest.stop()] if self._rest is not None else []
        closing = asyncio.gather(*ports, return_exceptions=True)
        n_left = await self._gate.drained(grace_s)
        # What was answered just now has still to be sent; what was not is cut.
        await asyncio.wait({closing}, timeout=1.0)
        return n_left

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _wait(self, work):  # type: ignore[no-untyped-def]
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

"""gRPC requests on their way in: a time limit each, and a bound on those that take long, whose memory we hold."""

from __future__ import annotations

import asyncio
import time

import grpc

from serving.server.status import StatusError

#: A request that is not whole after so long is refused.
LIMIT_S = 30.0
#: Of requests that have been coming for longer than ``SOON_S`` so many are waited for; then the oldest is refused.
MOST_SLOW = 64
SOON_S = 1.0


class Receiving:
    """The requests that are being received, oldest first. Used from the event loop only."""

    def __init__(self) -> None:
        self._begun: dict[asyncio.Timeout, float] = {}

    async def message(self, context: grpc.aio.ServicerContext) -> bytes:
        """The one message of a call.

        Raises:
            StatusError: ``DEADLINE_EXCEEDED`` where it takes too long, ``RESOURCE_EXHAUSTED`` where too many others do
                and it is the oldest, ``INTERNAL`` where the client ends without one.
        """
        loop = asyncio.get_running_loop()
        begun = time.monotonic()
        limit = asyncio.timeout(LIMIT_S)
        try:
            async with limit:
                self._begun[limit] = begun
                if len(self._begun) > MOST_SLOW:
                    self._refuse_oldest(loop)
                received = await context.read()
        except TimeoutError as error:
            if time.monotonic() - begun < LIMIT_S:
                raise StatusError(
                    "RESOURCE_EXHAUSTED", "Too many requests arrive slowly; this is the oldest"
                ) from error
            raise StatusError("DEADLINE_EXCEEDED", f"The request was not whole after {LIMIT_S:.0f} s") from error
        finally:
            self._begun.pop(limit, None)
        if received is grpc.aio.EOF:
            raise StatusError("INTERNAL", "Expected one request, found the end of the call")
        return bytes(received)

    def _refuse_oldest(self, loop: asyncio.AbstractEventLoop) -> None:
        limit, begun = next(iter(self._begun.items()))
        if time.monotonic() - begun > SOON_S:
            self._begun.pop(limit)
            limit.reschedule(loop.time())

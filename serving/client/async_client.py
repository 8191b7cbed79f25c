"""``AsyncCxrClient``: ``CxrClient`` for an event loop."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from serving.client import flows
from serving.client.answers import Answer, ImageRefused, Refused, ServedVersion
from serving.client.batches import BATCH_SIZE, N_AT_ONCE, as_sent, batched, groups, merged
from serving.client.calls import AsyncTransport, At, CallFailed
from serving.client.flows import PATIENCE_S, STABLE, TIMEOUT_S, Flow, Pause, Rules
from serving.client.image_bytes import image_bytes

if TYPE_CHECKING:
    from types import TracebackType

T = TypeVar("T")


class AsyncCxrClient:
    """``CxrClient`` for an event loop: the same arguments, methods and errors, awaited.

    >>> async with AsyncCxrClient("127.0.0.1:8500") as client:            # doctest: +SKIP
    ...     await asyncio.gather(*(client.predict("cxr_binary", one) for one in images))
    """

    def __init__(
        self, address: str, *, timeout_s: float = TIMEOUT_S, patience_s: float = PATIENCE_S, ca_file: Path | None = None
    ) -> None:
        self._rules = Rules(address, timeout_s, patience_s)
        self._transport = _async_transport(address, ca_file)

    async def predict(self, model: str, image: Any, *, at: At = STABLE) -> Answer:
        """The answer to one image; ``ImageRefused`` where it cannot be read."""
        sent = await asyncio.to_thread(image_bytes, image)
        (answer,) = await self._run(flows.predicted(self._rules, model, [sent], at))
        if isinstance(answer, Refused):
            raise ImageRefused(answer.reason)
        return answer

    async def predict_many(
        self,
        model: str,
        images: Iterable[Any],
        *,
        at: At = STABLE,
        batch_size: int = BATCH_SIZE,
        n_at_once: int = N_AT_ONCE,
    ) -> AsyncIterator[Answer | Refused]:
        """An answer or a refusal for each image, in their order, in constant memory."""

        async def ask(batch: list[Any]) -> list[Answer | Refused]:
            read = await asyncio.to_thread(lambda: [as_sent(image) for image in batch])
            answered = [await self._run(flows.predicted(self._rules, model, group, at)) for group in groups(read)]
            return merged(read, list(itertools.chain.from_iterable(answered)))

        under_way: deque[asyncio.Task[list[Answer | Refused]]] = deque()
        try:
            for batch in batched(images, batch_size):
                under_way.append(asyncio.create_task(ask(batch)))
                if len(under_way) >= n_at_once:
                    for answer in await under_way.popleft():
                        yield answer
            while under_way:
                for answer in await under_way.popleft():
                    yield answer
        finally:
            for task in under_way:
                task.cancel()

    async def explain(self, model: str, image: Any, *, at: At = STABLE) -> Answer:
        """As ``predict``, with ``heat_maps``."""
        sent = await asyncio.to_thread(image_bytes, image)
        return await self._run(flows.explained(self._rules, model, sent, at))

    async def versions(self, model: str) -> tuple[ServedVersion, ...]:
        """All versions that the server knows of."""
        return await self._run(flows.listed(self._rules, model))

    async def version_at(self, model: str, at: At = STABLE) -> int:
        """Which version answers there now; ``NotServed`` where none does."""
        return (await self._run(flows.described(self._rules, model, at))).version

    async def close(self) -> None:
        await self._transport.close()

    async def __aenter__(self) -> AsyncCxrClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, flow: Flow[T]) -> T:
        """The end of ``flow``, whose calls are awaited."""
        try:
            step = next(flow)
            while True:
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                    step = next(flow)
                    continue
                try:
                    reply = await self._transport.send(step.call, step.timeout_s)
                except CallFailed as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(reply)
        except StopIteration as end:
            return end.value


def _async_transport(address: str, ca_file: Path | None) -> AsyncTransport:
    if address.startswith(("http://", "https://")):
        from serving.client.over_rest import AsyncRestTransport

        return AsyncRestTransport(address, ca_file)
    from serving.client.over_grpc import AsyncGrpcTransport

    return AsyncGrpcTransport(address, ca_file)

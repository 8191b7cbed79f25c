"""``CxrClient``: ask a model server about chest X-rays, by gRPC or REST."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from serving.client import flows
from serving.client.answers import Answer, ImageRefused, Refused, ServedVersion, Signatures
from serving.client.batches import BATCH_SIZE, N_AT_ONCE, as_sent, batched, groups, merged
from serving.client.calls import At, CallFailed, Outputs, Predict, Transport
from serving.client.flows import PATIENCE_S, STABLE, TIMEOUT_S, Flow, Pause, Rules
from serving.client.image_bytes import image_bytes

if TYPE_CHECKING:
    from types import TracebackType

    import numpy as np

    from serving.client.notes import PredictionNotes

T = TypeVar("T")


class CxrClient:
    """Asks one model server. To be used from any number of threads, and closed (or as a ``with`` block).

    >>> with CxrClient("127.0.0.1:8500") as client:                       # doctest: +SKIP
    ...     answer = client.predict("cxr_binary", "scan1.jpeg")
    ...     answer.probabilities, answer.version
    ((0.913,), 7)

    Args:
        address: ``host:port`` for gRPC, ``http://host:port`` (or https) for REST. gRPC sends images as they are and
            says which version answered; REST needs a third more bytes.
        timeout_s: For one answer, all tries together.
        patience_s: How long a server that cannot be reached is tried again.
        ca_file: Certificates (PEM) by which the server's is told to be right; gRPC then speaks TLS.
        notes: Takes down what ``predict`` and ``predict_many`` are answered, for a server that keeps no log itself.

    All methods raise ``NotServed`` (no such model, version, label), ``ServiceUnavailable`` (nobody answers, or is
    busy all the time) and its kind ``TimedOut``. Only what is safe is tried again: connections that broke, and calls
    that a busy server turned away before it began. A call that took too long is not.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout_s: float = TIMEOUT_S,
        patience_s: float = PATIENCE_S,
        ca_file: Path | None = None,
        notes: PredictionNotes | None = None,
    ) -> None:
        self._notes = notes
        self._rules = Rules(address, timeout_s, patience_s)
        self._transport = _transport(address, ca_file)

    @property
    def address(self) -> str:
        return self._rules.address

    def predict(self, model: str, image: Any, *, at: At = STABLE) -> Answer:
        """The answer to one image.

        Args:
            image: As ``image_bytes`` takes it: path, bytes, numpy array; DICOM too.
            at: A version, a label, or None for the newest version that is loaded, which may be a canary.

        Raises:
            ImageRefused: It cannot be read; the reason is the text.
        """
        read = image_bytes(image)
        (answer,) = self._run(flows.predicted(self._rules, model, [read], at))
        if self._notes is not None:
            self._notes.offer(model, at, [read], [answer])
        if isinstance(answer, Refused):
            raise ImageRefused(answer.reason)
        return answer

    def predict_many(
        self,
        model: str,
        images: Iterable[Any],
        *,
        at: At = STABLE,
        batch_size: int = BATCH_SIZE,
        n_at_once: int = N_AT_ONCE,
    ) -> Iterator[Answer | Refused]:
        """An answer or a refusal for each image, in their order; any number of images in constant memory.

        ``batch_size`` images go in one request and ``n_at_once`` requests at a time; images are read meanwhile.
        """

        def ask(batch: list[Any]) -> list[Answer | Refused]:
            read = [as_sent(image) for image in batch]
            answers = []
            for group in groups(read):
                answered = self._run(self._predicted(model, group, at))
                if self._notes is not None:
                    self._notes.offer(model, at, group, answered)
                answers += answered
            return merged(read, answers)

        with ThreadPoolExecutor(n_at_once, "cxr-client") as pool:
            under_way: deque[Future[list[Answer | Refused]]] = deque()
            try:
                for batch in batched(images, batch_size):
                    under_way.append(pool.submit(ask, batch))
                    if len(under_way) > n_at_once:
                        yield from under_way.popleft().result()
                while under_way:
                    yield from under_way.popleft().result()
            finally:
                for future in under_way:
                    future.cancel()

    def explain(self, model: str, image: Any, *, at: At = STABLE) -> Answer:
        """As ``predict``, with ``heat_maps``."""
        return self._run(flows.explained(self._rules, model, image_bytes(image), at))

    def outputs(
        self, model: str, images: Iterable[bytes], *, at: At = STABLE, signature: str = flows.STRICT
    ) -> tuple[int | None, dict[str, np.ndarray]]:
        """The version that answered and a signature's outputs by name as they are, the batch as first dimension.

        Raises:
            RequestRefused: One of the images is refused.
        """
        reply = self._run(flows.answered(self._rules, Predict(model, at, signature, tuple(images))))
        outputs = cast(Outputs, reply)
        return outputs.version, dict(outputs.tensors)

    def versions(self, model: str) -> tuple[ServedVersion, ...]:
        """All versions that the server knows of."""
        return self._run(flows.listed(self._rules, model))

    def version_at(self, model: str, at: At = STABLE) -> int:
        """Which version answers there now; ``NotServed`` where none does."""
        return self._run(flows.described(self._rules, model, at)).version

    def signatures(self, model: str, *, at: At = STABLE) -> Signatures:
        """Signature -> ``inputs`` and ``outputs`` -> tensor name -> number of its type."""
        return self._run(flows.described(self._rules, model, at)).signatures

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> CxrClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _predicted(self, model: str, images: list[bytes], at: At) -> Flow[list[Answer | Refused]]:
        return flows.predicted(self._rules, model, images, at)

    def _run(self, flow: Flow[T]) -> T:
        """The end of ``flow``, whose calls are waited for."""
        try:
            step = next(flow)
            while True:
                if isinstance(step, Pause):
                    time.sleep(step.seconds)
                    step = next(flow)
                    continue
                try:
                    reply = self._transport.send(step.call, step.timeout_s)
                except CallFailed as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(reply)
        except StopIteration as end:
            return end.value


def _transport(address: str, ca_file: Path | None) -> Transport:
    if address.startswith(("http://", "https://")):
        from serving.client.over_rest import RestTransport

        return RestTransport(address, ca_file)
    from serving.client.over_grpc import GrpcTransport

    return GrpcTransport(address, ca_file)

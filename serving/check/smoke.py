"""Requests to the running model server, before and after a version gets its label."""

from __future__ import annotations

import grpc

from cxr_tasks.contracts.errors import ReleaseRefused
from cxr_tasks.installation.replicas import model_addresses
from cxr_tasks.installation.settings import StackSettings
from serving.client import CxrClient, RequestRefused
from serving.export.golden import golden_images

GRPC_LIMIT_S = 10


def smoke_test(settings: StackSettings, model_name: str, at: int | str) -> None:
    """Ask every server for every golden image at a version or label, and see that its gRPC port is open.

    Raises:
        ReleaseRefused: An image is refused, or an answer is no probability.
        ServiceUnavailable: A port does not answer.
    """
    for address in model_addresses(settings):
        _ask(f"http://{address}:{settings.rest_port}", model_name, at)
        _require_open(f"{address}:{settings.grpc_port}")


def _ask(rest_url: str, model_name: str, at: int | str) -> None:
    where = f"version {at}" if isinstance(at, int) else f"at label {at!r}"
    with CxrClient(rest_url) as client:
        for kind, image in golden_images().items():
            try:
                answer = client.predict(model_name, image, at=at)
            except RequestRefused as error:
                raise ReleaseRefused(f"{model_name} {where}: expected an answer to {kind}, found {error}") from error
            if not all(0 <= probability <= 1 for probability in answer.probabilities):
                raise ReleaseRefused(
                    f"{model_name} {where}: expected probabilities in [0, 1], found {answer.probabilities}"
                )


def _require_open(grpc_address: str) -> None:
    with grpc.insecure_channel(grpc_address) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=GRPC_LIMIT_S)
        except grpc.FutureTimeoutError:
            raise ReleaseRefused(f"expected gRPC at {grpc_address}, found no answer") from None

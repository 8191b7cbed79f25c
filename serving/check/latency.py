"""How long a version takes to answer, beside the version that serves now, in one server process."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from cxr_tasks.contracts.errors import ReleaseRefused, ServiceUnavailable
from serving.check.check_process import FORMER, CheckServer
from serving.client import CxrClient
from serving.client.running import CannotLoad, wait_loaded

log = logging.getLogger(__name__)

TIMED_REQUESTS = 20
#: Measured again before a refusal: a burst of other work on the machine must not keep a version from serving.
ROUNDS = 3
FORMER_LOAD_LIMIT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Median times of one image, in milliseconds, the two versions asked by turns."""

    median_ms: float
    former_version: int | None
    former_median_ms: float | None
    max_ratio: float

    @property
    def is_slower_than_allowed(self) -> bool:
        return self.former_median_ms is not None and self.median_ms > self.max_ratio * self.former_median_ms


def measure_latency(client: CxrClient, server: CheckServer, image: bytes, max_ratio: float) -> Latency:
    """The medians of both versions; without a former one, or where it cannot be loaded, of the new one alone.

    Raises:
        ReleaseRefused: The new version takes more than ``max_ratio`` times as long as the former, in each round.
    """
    former = server.former
    if former is not None:
        try:
            wait_loaded(client, FORMER, former, FORMER_LOAD_LIMIT_S, require_alive=server.process.require_alive)
        except (CannotLoad, ServiceUnavailable) as error:
            log.warning("no latency to compare with: %s", error)
            former = None

    def ask_new() -> None:
        client.outputs(server.model_name, [image], at=server.version)

    def ask_former() -> None:
        client.outputs(FORMER, [image], at=former)

    asked = (ask_new,) if former is None else (ask_new, ask_former)
    for _ in range(ROUNDS):
        medians = medians_ms(asked, TIMED_REQUESTS)
        latency = Latency(
            median_ms=round(medians[0], 3),
            former_version=former,
            former_median_ms=None if former is None else round(medians[1], 3),
            max_ratio=max_ratio,
        )
        if not latency.is_slower_than_allowed:
            return latency
    raise ReleaseRefused(
        f"{server.model_name} version {server.version}: expected a median answer within {max_ratio:g} times that of "
        f"version {former} ({latency.former_median_ms} ms), found {latency.median_ms} ms"
    )


def medians_ms(asked: tuple[Callable[[], None], ...], n_rounds: int) -> list[float]:
    """The median time of each of ``asked``, called by turns, the first calls left out; milliseconds."""
    times: list[list[float]] = [[] for _ in asked]
    for number in range(n_rounds + 1):
        for ask, taken in zip(asked, times, strict=True):
            start = time.perf_counter()
            ask()
            if number:
                taken.append(time.perf_counter() - start)
    return [statistics.median(seconds) * 1000 for seconds in times]

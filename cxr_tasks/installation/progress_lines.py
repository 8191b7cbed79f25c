"""Lines in the log that tell how far a long piece of work is."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


class ProgressLines:
    """Count, rate and time left, logged every ``every_s`` seconds; ``n_items`` may only show on the way."""

    def __init__(
        self,
        n_items: int | Callable[[], int],
        *,
        what: str,
        logger: logging.Logger,
        every_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._n_items, self._what, self._logger, self._every_s, self._clock = n_items, what, logger, every_s, clock
        self._n_done = 0
        self._started = self._told = clock()

    def add(self, n_done: int) -> None:
        """So many more are done."""
        self._n_done += n_done
        now = self._clock()
        n_items = self._n_items() if callable(self._n_items) else self._n_items
        if now - self._told >= self._every_s and self._n_done < n_items:
            rate = self._n_done / (now - self._started)
            left = (n_items - self._n_done) / rate
            text = "%s: %d of %d, %.0f images/s, about %.0f s left"
            self._logger.info(text, self._what, self._n_done, n_items, rate, left)
            self._told = now

    def end(self) -> None:
        """Log the total."""
        seconds = self._clock() - self._started
        rate = self._n_done / max(seconds, 1e-9)
        self._logger.info("%s: %d in %.1f s, %.0f images/s", self._what, self._n_done, seconds, rate)


def with_progress(
    items: Iterable[Item],
    *,
    n_items: int | Callable[[], int],
    what: str,
    logger: logging.Logger,
    size: Callable[[Item], int] = lambda item: 1,
    every_s: float = 5.0,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Item]:
    """The same items, with their ``ProgressLines`` in the log and a total at the end.

    ``size`` says how many stand in one item.
    """
    lines = ProgressLines(n_items, what=what, logger=logger, every_s=every_s, clock=clock)
    for item in items:
        n_done = size(item)
        yield item
        lines.add(n_done)
    lines.end()

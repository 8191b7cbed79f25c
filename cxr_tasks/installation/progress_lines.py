"""Lines in the log that tell how far a long piece of work is."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


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
    """The same items; count, rate and time left are logged every ``every_s`` seconds, and a total at the end.

    ``n_items`` may be a function where their number only shows on the way; ``size`` says how many stand in one item.
    """
    in_all = n_items if callable(n_items) else lambda: n_items
    start = last = clock()
    done = 0
    for item in items:
        done += size(item)
        yield item
        now = clock()
        if now - last >= every_s and done < in_all():
            rate = done / (now - start)
            left = (in_all() - done) / rate
            logger.info("%s: %d of %d, %.0f images/s, about %.0f s left", what, done, in_all(), rate, left)
            last = now
    seconds = clock() - start
    logger.info("%s: %d in %.1f s, %.0f images/s", what, done, seconds, done / max(seconds, 1e-9))

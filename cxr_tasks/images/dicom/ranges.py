"""The range of grey values: what a header or format claims holds unless the values say that it is not about them.

What is shown otherwise is the range that the values can have (``images.grey_range``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: A window over whose range the values can have leaves at least so much of its grey to them.
LEAST_OF_STORED = 0.5
#: And so much to what the values in the picture take: a twelfth bit may be spare, four bits are another range.
LEAST_OF_USED = 0.1
#: Less grey than this between the darkest and the brightest pixel shows nothing.
LEAST_SHOWN = 0.05
#: A window at one end of the values, no wider than this share of them, ...
NARROW = 0.25
#: ... with more than this share of the pixels beyond it, is one of other values (of 8 bits, say, on values of 12).
MOST_BEYOND = 0.5
#: Beyond as black, few pixels may be in the window itself: around a small child the picture may be mostly air.
FEW_INSIDE = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """What a window or table makes of values; one entry per pattern of stored bits in each array."""

    grey: np.ndarray
    """In [0, 1], before an inversion."""
    output: np.ndarray
    """The values that go into the window."""
    first: float
    """Where the window begins and ends, in these values."""
    last: float
    low: float
    """The range that values in the picture take, in whole bits."""
    high: float
    counts: np.ndarray | None
    """Pixels of each pattern that are not padding; None where that is not known."""


def is_far(shown: Shown, *, is_inverted: bool) -> bool:
    """Whether window or table are about other values than these.

    They are where the values can only reach a small part of its grey, where the picture would be of one shade, or where
    it lies at one end of the values and most pixels lie beyond.
    """
    if _reach(shown, shown.low, shown.high) < LEAST_OF_USED:
        return True
    if _reach(shown, shown.output.min(), shown.output.max()) < LEAST_OF_STORED:
        return True
    if shown.counts is None:
        return False
    occurs = shown.counts > 0
    if not occurs.any():
        return False
    return bool(np.ptp(shown.grey[occurs]) < LEAST_SHOWN) or _is_beside(shown, occurs, is_inverted=is_inverted)


def _reach(shown: Shown, low: float, high: float) -> float:
    """How much of the grey the values from ``low`` to ``high`` come to."""
    reached = shown.grey[(shown.output >= low) & (shown.output <= high)]
    return float(np.ptp(reached)) if len(reached) else 0.0


def _is_beside(shown: Shown, occurs: np.ndarray, *, is_inverted: bool) -> bool:
    assert shown.counts is not None  # noqa: S101 - asked before
    least, most = shown.output[occurs].min(), shown.output[occurs].max()
    narrow = NARROW * (most - least)
    total = shown.counts.sum()
    above = shown.counts[shown.output > shown.last].sum() / total
    below = shown.counts[shown.output < shown.first].sum() / total
    inside = 1 - above - below
    is_low, is_high = shown.last <= least + narrow and above > MOST_BEYOND, (
        shown.first >= most - narrow and below > MOST_BEYOND
    )  # fmt: skip
    # Half a chest X-ray is never white; black it may be.
    beyond_is_white = (is_low and not is_inverted) or (is_high and is_inverted)
    return bool((is_low or is_high) and (beyond_is_white or inside < FEW_INSIDE))

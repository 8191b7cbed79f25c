"""Whether two samples come from one distribution: Kolmogorov and Smirnov's test, and one of two shares."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import betaln, kolmogorov


def kolmogorov_smirnov(one: np.ndarray, other: np.ndarray, n_one: float, n_other: float) -> tuple[float, float]:
    """The largest distance between two empirical distributions, and its p-value.

    Args:
        one, other: float, shapes ``(n,)`` and ``(m,)``, at least one each, not NaN; ``one`` rising.
        n_one, n_other: How many independent values they are worth: images of one patient resemble each other, and
            count as fewer.

    The p-value is Kolmogorov's limit with Stephens' correction; ties make it too large, never too small.
    Source: Stephens, Journal of the Royal Statistical Society B 32:115-122 (1970).

    >>> kolmogorov_smirnov(np.arange(100.0), np.arange(100.0), 100, 100)
    (0.0, 1.0)
    """
    other = np.sort(other)
    at = np.concatenate([one, other])
    distance = np.abs(
        np.searchsorted(one, at, side="right") / len(one) - np.searchsorted(other, at, side="right") / len(other)
    ).max()
    root = math.sqrt(n_one * n_other / (n_one + n_other))
    return float(distance), float(kolmogorov((root + 0.12 + 0.11 / root) * distance))


def two_shares(k_one: int, n_one: int, k_other: int, n_other: int, worth: float = 1.0) -> float:
    """p-value of equal shares ``k_one / n_one`` and ``k_other / n_other``: Fisher's test, its smaller tail doubled.

    Args:
        worth: How many independent images an image is worth, in (0, 1]; counts are made smaller by it, so that the
            shares stay.

    >>> round(two_shares(10, 100, 30, 100), 4)
    0.0007
    """
    a, b = round(k_one * worth), round(k_other * worth)
    n, m = max(round(n_one * worth), a), max(round(n_other * worth), b)
    if not n or not m:
        return 1.0
    hits = a + b
    k = np.arange(max(0, hits - m), min(hits, n) + 1)
    ways = -betaln(k + 1, n - k + 1) - betaln(hits - k + 1, m - hits + k + 1)
    weight = np.exp(ways - ways.max())
    at = a - int(k[0])
    tail = min(weight[: at + 1].sum(), weight[at:].sum()) / weight.sum()
    return float(min(1.0, 2 * tail))

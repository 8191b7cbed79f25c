"""How far two histograms lie apart: population stability index and Jensen-Shannon distance, and what chance does."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import jensenshannon
from scipy.special import chdtri

#: Unrelated samples of one distribution reach the "chance" of a comparison once in this many times.
_ONCE_IN = 1000


def population_stability_index(expected: np.ndarray, actual: np.ndarray) -> float:
    """PSI of two histograms over the same bins: sum of (a - e) ln(a / e) over their shares; 0 where they are equal.

    An empty bin counts as half an image, so that a word never seen before gives a large number, not an infinite one.
    Rule of thumb: below 0.1 nothing, to 0.25 some change, above it another distribution.

    Args:
        expected, actual: counts, shape ``(n_bins,)``.

    Raises:
        ValueError: Shapes differ, a count is negative, or a histogram is empty.

    Source: Siddiqi, Credit Risk Scorecards (2006), chapter 8; it is the symmetric divergence of Jeffreys,
    Proc. R. Soc. A 186:453-461 (1946).

    >>> round(population_stability_index(np.array([50, 50]), np.array([60, 40])), 4)
    0.0405
    """
    _check(expected, actual)
    e, a = (np.maximum(counts, 0.5) / counts.sum() for counts in (expected, actual))
    both_empty = (expected == 0) & (actual == 0)
    return float(np.sum(((a - e) * np.log(a / e))[~both_empty]))


def jensen_shannon_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Square root of the Jensen-Shannon divergence in bits, in [0, 1]; 1 where no bin is shared.

    ``one`` and ``other`` are counts in the same bins, both ``(n_bins,)``.

    For small changes its square is about PSI / (8 ln 2): PSI 0.1 is a distance of 0.13, 0.25 of 0.21.

    Raises:
        ValueError: As :func:`population_stability_index`.

    Source: Lin, IEEE Trans. Inf. Theory 37:145-151 (1991); Endres & Schindelin, ibid. 49:1858-1860 (2003).
    """
    _check(one, other)
    return float(jensenshannon(one, other, base=2))


def chance_psi(n_bins: int, n_expected: int, n_actual: int) -> float:
    """PSI that two samples of one distribution stay below in 999 of 1,000 cases.

    PSI / (1/n + 1/m) is distributed as chi-square with ``n_bins`` - 1 degrees of freedom. Source: Yurdakul & Naranjo,
    Journal of Risk Model Validation 14(4) (2020).
    """
    if n_bins < 2:
        return 0.0
    return float(chdtri(n_bins - 1, 1 / _ONCE_IN)) * (1 / n_expected + 1 / n_actual)


def merged_bins(expected: np.ndarray, actual: np.ndarray, *, n_bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Neighbouring bins put together until each holds about 1 / ``n_bins`` of ``expected``: fewer bins, less noise.

    >>> merged_bins(np.array([0, 5, 5, 0, 10]), np.array([1, 0, 0, 9, 0]), n_bins=2)
    (array([10, 10]), array([1, 9]))
    """
    _check(expected, actual)
    before = (np.cumsum(expected) - expected) / expected.sum()
    group = np.minimum((before * n_bins + 1e-9).astype(int), n_bins - 1)
    _, group = np.unique(group, return_inverse=True)
    return np.bincount(group, expected).astype(int), np.bincount(group, actual).astype(int)


def _check(one: np.ndarray, other: np.ndarray) -> None:
    if one.shape != other.shape or one.ndim != 1:
        raise ValueError(f"expected two histograms over the same bins, found shapes {one.shape} and {other.shape}")
    if (one < 0).any() or (other < 0).any() or not one.sum() or not other.sum():
        raise ValueError("expected counts from 0 with some above it in each histogram")

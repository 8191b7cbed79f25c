"""Benjamini and Hochberg's correction for several tests at once."""

from __future__ import annotations

from collections.abc import Sequence


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the order given: rejecting those up to q holds the share of false alarms among them at q.

    Where nothing has changed, the chance of any alarm at all is then at most q too.

    Source: Benjamini & Hochberg, Journal of the Royal Statistical Society B 57:289-300 (1995); for tests that hang
    together positively, as those of correlated scores: Benjamini & Yekutieli, Annals of Statistics 29:1165-1188 (2001).

    >>> [round(one, 3) for one in benjamini_hochberg([0.01, 0.04, 0.03, 0.005])]
    [0.02, 0.04, 0.04, 0.02]
    """
    n, smallest = len(p_values), 1.0
    adjusted = [1.0] * n
    for rank, place in enumerate(sorted(range(n), key=lambda index: -p_values[index])):
        smallest = min(smallest, p_values[place] * n / (n - rank))
        adjusted[place] = smallest
    return adjusted

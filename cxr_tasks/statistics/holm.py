"""Several tests at once: p-values that hold together."""

from __future__ import annotations

from collections.abc import Sequence


def holm_adjusted(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number, in their order: refusing every one at or below ``alpha`` errs, in any of
    them, with a probability of at most ``alpha``, however they depend on each other.

    The smallest of ``m`` is multiplied by ``m``, the next by ``m - 1`` and so on; none comes out smaller than one
    before it, nor above 1.

    Source: Holm, Scandinavian Journal of Statistics 6:65-70 (1979).

    >>> [round(one, 3) for one in holm_adjusted([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted

"""How the answers of two versions to the same images differ, per finding, with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cxr_tasks.statistics.intervals import Interval, wilson

CONFIDENCE = 0.95
BOOTSTRAPS = 2000
SEED = 20261126


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingDifference:
    """One finding; differences are canary less stable."""

    finding: str
    n: int
    mean_difference: Interval
    """Of the probabilities; paired percentile bootstrap over images."""
    mean_absolute_difference: Interval
    changed_decisions: Interval
    """Share of the images whose decision differs; Wilson's interval."""
    n_to_positive: int
    n_to_negative: int
    largest_absolute_difference: float


def finding_difference(
    finding: str,
    stable: np.ndarray,
    canary: np.ndarray,
    stable_decisions: np.ndarray,
    canary_decisions: np.ndarray,
    seed: int = SEED,
) -> FindingDifference:
    """The difference of one finding from its probabilities and decisions, each of shape ``(n_images,)``, n at least 1.

    The bootstrap draws images, not patients: recorded requests do not say whose they are, so several images of one
    patient make the intervals narrower than they should be.
    """
    difference = np.asarray(canary, np.float64) - np.asarray(stable, np.float64)
    n = len(difference)
    drawn = np.random.default_rng(seed).integers(0, n, (BOOTSTRAPS, n))
    to_positive = int(np.sum(~stable_decisions & canary_decisions))
    to_negative = int(np.sum(stable_decisions & ~canary_decisions))
    return FindingDifference(
        finding=finding,
        n=n,
        mean_difference=_bootstrapped(difference, drawn),
        mean_absolute_difference=_bootstrapped(np.abs(difference), drawn),
        changed_decisions=wilson(to_positive + to_negative, n, CONFIDENCE),
        n_to_positive=to_positive,
        n_to_negative=to_negative,
        largest_absolute_difference=float(np.max(np.abs(difference))),
    )


def _bootstrapped(values: np.ndarray, drawn: np.ndarray) -> Interval:
    """The mean of ``values`` with the percentiles of its means over ``drawn`` (rows of indices)."""
    tail = 50 * (1 - CONFIDENCE)
    lower, upper = np.percentile(values[drawn].mean(axis=1), [tail, 100 - tail])
    return Interval(float(values.mean()), float(lower), float(upper), f"bootstrap over images, {len(drawn)} draws")

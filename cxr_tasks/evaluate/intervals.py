"""Intervals: of an AUROC, of a difference of AUROCs, of a proportion, and of anything by resampling patients."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from cxr_tasks.contracts.errors import UndefinedMetric
from cxr_tasks.evaluate.delong import delong
from cxr_tasks.evaluate.resampling import Draws, percentile_bounds

#: With a product of images of the rarer class and distance of the AUROC from 0 or 1 below this, DeLong's interval is
#: too narrow: a few images make all of the error, and how they spread is not known.
FEW_ERRORS = 2.5
#: What 95 % intervals then covered in simulations: 5 to 30 positives of 180 to 400 images, true AUROC 0.60 to 0.97.
TOO_SURE = "84 to 93 %"


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with the bounds of its interval and how they were made."""

    value: float
    lower: float
    upper: float
    method: str


def z_of(confidence: float) -> float:
    """Half-width of a two-sided interval in standard deviations; 1.96 for 0.95."""
    return NormalDist().inv_cdf(0.5 + confidence / 2.0)


def is_too_sure(value: float, n_positive: int, n_negative: int) -> bool:
    """Whether DeLong's interval of an AUROC covers less than it says; at 0 and 1 it is not DeLong's.

    So at AUROC 0.90 with fewer than 25 positives, at 0.76 with fewer than 11.
    """
    return 0.0 < min(n_positive, n_negative) * min(value, 1.0 - value) < FEW_ERRORS


def auroc_interval(is_positive: np.ndarray, score: np.ndarray, confidence: float) -> Interval:
    """The AUROC with its DeLong interval, made on the logit scale so that it stays in (0, 1) and covers near 1.

    Where DeLong's variance is 0 it says nothing of the uncertainty, and a bound that needs no variance stands in:

    - AUROC 1 (or 0): the images hold ``k = min(positives, negatives)`` disjoint pairs, all in the right order, which
      has a probability of at most AUROC^k. The lower bound solves AUROC^k = (1 - confidence) / 2.
    - between (all scores tied): variance AUROC (1 - AUROC) / k, the largest possible (Birnbaum & Klose 1957).

    Where the interval is too narrow (:func:`is_too_sure`) the method says so.

    Source for the logit scale: Pepe, The Statistical Evaluation of Medical Tests (2003), section 5.2.

    Raises:
        ValueError, UndefinedMetric: As in ``scores.checked``; fewer than two images of a class.
    """
    is_positive = np.asarray(is_positive).astype(bool)
    values, covariance = delong(is_positive, score)
    value, variance = float(values[0]), float(covariance[0, 0])
    pairs = int(min(is_positive.sum(), (~is_positive).sum()))
    percent = f"{confidence * 100:g} %"
    if value in (0.0, 1.0):
        reach = 1.0 - ((1.0 - confidence) / 2.0) ** (1.0 / pairs)
        method = f"exact bound from {pairs} disjoint pairs, {percent} (DeLong has no variance at {value:g})"
        return Interval(value, max(0.0, value - reach), min(1.0, value + reach), method)
    method = f"DeLong {percent}, logit scale"
    if variance <= 0.0:
        variance, method = value * (1.0 - value) / pairs, f"largest possible variance, {percent} (DeLong's is 0)"
    elif is_too_sure(value, int(is_positive.sum()), int((~is_positive).sum())):
        rarer = "positives" if is_positive.sum() <= len(is_positive) / 2 else "negatives"
        method = f"{method}; too narrow with {pairs} {rarer} (simulated 95 % intervals covered {TOO_SURE})"
    return logit_scale_interval(value, variance, confidence, method)


def logit_scale_interval(value: float, variance: float, confidence: float, method: str) -> Interval:
    """``value`` in (0, 1) with the normal interval of its logit, which stays in (0, 1)."""
    centre, spread = math.log(value / (1.0 - value)), math.sqrt(variance) / (value * (1.0 - value))
    z = z_of(confidence)
    return Interval(value, _expit(centre - z * spread), _expit(centre + z * spread), method)


def auroc_difference(
    is_positive: np.ndarray, candidate: np.ndarray, champion: np.ndarray, confidence: float
) -> Interval:
    """AUROC of ``candidate`` less that of ``champion`` on the same images, with the paired DeLong interval.

    Two models that rank all images alike differ by 0 with an interval of no width, and rightly so.
    """
    values, covariance = delong(is_positive, np.stack([candidate, champion]))
    difference = float(values[0] - values[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2.0 * covariance[0, 1])
    reach = z_of(confidence) * math.sqrt(max(variance, 0.0))
    method = f"paired DeLong {confidence * 100:g} %"
    return Interval(difference, difference - reach, difference + reach, method)


def wilson(n_hits: int, n: int, confidence: float) -> Interval:
    """A proportion with Wilson's score interval (JASA 22:209-212, 1927); right at 0 and 1 too.

    Raises:
        UndefinedMetric: ``n`` is 0.
    """
    if n == 0:
        raise UndefinedMetric("a proportion of 0 images has no value")
    share, z = n_hits / n, z_of(confidence)
    scale = 1.0 + z * z / n
    centre = (share + z * z / (2.0 * n)) / scale
    reach = z / scale * math.sqrt(share * (1.0 - share) / n + z * z / (4.0 * n * n))
    # At 0 and 1 the bound equals the share; rounding must not put it beside it.
    lower = 0.0 if n_hits == 0 else max(0.0, centre - reach)
    upper = 1.0 if n_hits == n else min(1.0, centre + reach)
    return Interval(share, lower, upper, f"Wilson {confidence * 100:g} %")


def newcombe(hits: int, n: int, other_hits: int, other_n: int, confidence: float) -> Interval:
    """The share ``hits / n`` less ``other_hits / other_n`` of other images, with Newcombe's hybrid score interval.

    Built from the two Wilson intervals, so it holds at shares of 0 and 1 and in small groups. Source: Newcombe,
    Statistics in Medicine 17:873-890 (1998), method 10.

    Raises:
        UndefinedMetric: A group is empty.
    """
    one, other = wilson(hits, n, confidence), wilson(other_hits, other_n, confidence)
    return independent_difference(one, other, f"Newcombe {confidence * 100:g} %")


def independent_difference(one: Interval, other: Interval, method: str) -> Interval:
    """The value of ``one`` less that of ``other``, which is of other patients; its interval comes from both bounds.

    Each side's interval may be lopsided; at values near 0 or 1 it should be. Source: Zou & Donner, Statistics in
    Medicine 27:1693-1702 (2008), of which Newcombe's method 10 is the case of two Wilson intervals.
    """
    difference = one.value - other.value
    down = math.hypot(one.value - one.lower, other.upper - other.value)
    up = math.hypot(one.upper - one.value, other.value - other.lower)
    return Interval(difference, difference - down, difference + up, method)


def patient_bootstrap(
    patient_key: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray],
    *,
    confidence: float,
    samples: int,
    seed: int,
) -> tuple[float, float]:
    """Percentile bounds of ``statistic`` when patients, each with all their images, are drawn with replacement.

    Args:
        patient_key: shape ``(n,)``; images of one patient are not independent, so they are drawn together.
        statistic: weights ``(b, n)`` -> values ``(b,)``, NaN where a resample leaves it undefined.
        samples: How many resamples.
        seed: The same seed draws the same patients, so two models can be compared resample by resample.

    Raises:
        UndefinedMetric: More than half of the resamples are undefined.
    """
    draws = Draws.of(patient_key, samples, seed)
    places = draws.places(patient_key)
    values = draws.values(lambda block: statistic(block[places].T), len(places))
    return percentile_bounds(values, len(draws.keys), confidence)


def _expit(value: float) -> float:
    return 1.0 / (1.0 + math.exp(-value)) if value >= 0 else math.exp(value) / (1.0 + math.exp(value))

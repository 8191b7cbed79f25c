"""The difference of two AUROCs on the same images: its interval and p-value, by patient."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cxr_tasks.statistics.auroc_intervals import FEW_ERRORS, FEW_ERRORS_SAID, WIDE_SHAPE
from cxr_tasks.statistics.delong import delong, midranks
from cxr_tasks.statistics.intervals import Interval
from cxr_tasks.statistics.patients import (
    effective_number,
    images_each,
    left_by_clusters,
    patient_numbers,
    quantile_of,
    tail_of,
)


@dataclass(frozen=True, slots=True)
class FewErrors:
    """Two AUROCs on the same images of which few errors make the difference."""

    one: float
    other: float
    rarer: float
    """Independent images of the rarer class."""
    correlation: float
    """Of both AUROCs, in [0, 1]."""

    def error_at(self, difference: float) -> float:
        """The standard error of the difference if ``difference``, in [-1, 1], were the true one.

        A model that made few errors by chance shows a small error, so it is taken at what is asked about, as Wilson's
        interval does: one model stays where it was measured, the other is put lower by as much as the difference says,
        both with ``WIDE_SHAPE`` of the largest variance. A lower bound puts the first lower, an upper one the second.
        """
        is_lower = difference <= self.one - self.other
        one, other = (self.other + difference, self.other) if is_lower else (self.one, self.one - difference)
        first, second = (WIDE_SHAPE * p * (1.0 - p) / self.rarer for p in (min(max(p, 0.0), 1.0) for p in (one, other)))
        return math.sqrt(max(first + second - 2.0 * self.correlation * math.sqrt(first * second), 0.0))


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference measured on the same images, its standard error by patient, and how well that is known."""

    value: float
    error: float
    freedom: float
    """Degrees of freedom; infinite where each patient has one image (``patients.left_by_clusters``)."""
    by: str = ""
    few: FewErrors | None = None
    """Where few errors make the standard error: what stands beside it."""

    def error_at(self, difference: float) -> float:
        """The standard error, if the true difference were ``difference``, in [-1, 1]: the larger of two where errors
        are few."""
        return self.error if self.few is None else max(self.error, self.few.error_at(difference))

    def interval(self, confidence: float) -> Interval:
        """DeLong's interval of ``confidence``, in (0, 1); where few errors make it, all true differences that are no
        further off than chance explains."""
        quantile = quantile_of(confidence, self.freedom)
        reach, percent = quantile * self.error, f"{confidence * 100:g} %{self.by}"
        if self.few is None:
            return Interval(self.value, self.value - reach, self.value + reach, f"paired DeLong {percent}")
        lower, upper = (self._end(quantile, limit) for limit in (-1.0, 1.0))
        return Interval(self.value, lower, upper, f"paired DeLong {percent}, or wider by score ({FEW_ERRORS_SAID})")

    def _end(self, quantile: float, limit: float) -> float:
        """Where the value is ``quantile`` errors away, on the way to ``limit``."""
        near, far = self.value, limit
        for _ in range(50):
            middle = (near + far) / 2.0
            is_within = abs(middle - self.value) <= quantile * self.error_at(middle)
            near, far = (middle, far) if is_within else (near, middle)
        return near

    def p_below(self, bound: float) -> float:
        """One-sided p-value of the hypothesis that the true difference is at ``bound`` or above: small where the
        difference is shown to be lower. Without an error it is 1, or 0 below the bound."""
        beyond, error = self.value - bound, self.error_at(bound)
        return tail_of(beyond / error, self.freedom) if error > 0.0 else float(beyond >= 0.0)


def paired_difference(
    is_positive: np.ndarray, candidate: np.ndarray, champion: np.ndarray, patient_key: np.ndarray | None = None
) -> Difference:
    """AUROC of ``candidate`` less that of ``champion`` on the same images.

    Args:
        is_positive: bool ``(n,)``.
        candidate, champion: Scores, float ``(n,)``; any increasing scale serves. Not NaN.
        patient_key: As in ``delong.delong``.

    Raises:
        ValueError, UndefinedMetric: As ``delong.delong``.

    Two models that rank all images alike differ by 0 without an error, and rightly so.

    Where few errors make either AUROC (:func:`rests_on_few_errors`, or none at all) DeLong's error of the difference is
    too small just where one model looks better by chance. Of simulated pairs of normal scores (8 to 60 positives of
    180 to 400 images, AUROC 0.85 to 0.995, correlation of the scores 0.5 and 0.85) whose true difference is as below,
    the lower end of the 95 % interval lay above it, which should be in 2.5 %:

    ===================================== ============== ==============
    true AUROCs                           paired DeLong  this function
    ===================================== ============== ==============
    0.97 and 0.97                         0.00 to 0.03   0.00
    0.95 and 0.97                         0.05 to 0.18   0.00
    0.985 and 0.995                       0.13 to 0.29   0.00
    0.86 and 0.90                         0.04 to 0.10   0.00 to 0.03
    ===================================== ============== ==============
    """
    values, covariance = delong(is_positive, np.stack([candidate, champion]), patient_key)
    variance = float(covariance[0, 0] + covariance[1, 1] - 2.0 * covariance[0, 1])
    difference, error = float(values[0] - values[1]), math.sqrt(max(variance, 0.0))
    is_positive = np.asarray(is_positive).astype(bool)
    patient = np.arange(len(is_positive)) if patient_key is None else patient_numbers(patient_key)
    counts = [images_each(patient, member) for member in (is_positive, ~is_positive)]
    rarer, images = min((effective_number(count), int(count.sum())) for count in counts)
    by = "" if patient.max() + 1 == len(patient) else " by patient"
    few = None
    if any(rarer * min(value, 1.0 - value) < FEW_ERRORS for value in values) and not _rank_alike(candidate, champion):
        correlation = _rank_correlation(is_positive, candidate, champion)
        few = FewErrors(float(values[0]), float(values[1]), rarer, correlation)
    return Difference(difference, error, left_by_clusters(rarer, images), by, few)


def _rank_correlation(is_positive: np.ndarray, one: np.ndarray, other: np.ndarray) -> float:
    """Of the ranks of both scores within each class, the mean of both classes; not below 0.

    Stands for the correlation of two AUROCs (Hanley & McNeil, Radiology 148:839-843, 1983), which DeLong's covariance
    tells badly where few errors make it.
    """
    correlations = []
    for member in (is_positive, ~is_positive):
        ranks = np.stack([midranks(one[member]), midranks(other[member])])
        deviations = ranks.std(axis=1)
        correlations.append(float(np.corrcoef(ranks)[0, 1]) if deviations.all() else 0.0)
    return max(0.0, float(np.mean(correlations)))


def _rank_alike(one: np.ndarray, other: np.ndarray) -> bool:
    return bool((midranks(one) == midranks(other)).all())

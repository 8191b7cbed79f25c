"""Intervals: of an AUROC, of a difference of AUROCs, of a proportion, and of anything by resampling patients."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cxr_tasks.contracts.errors import UndefinedMetric
from cxr_tasks.contracts.metrics import MetricRecord
from cxr_tasks.statistics.delong import delong, influences, midranks
from cxr_tasks.statistics.patients import (
    effective_number,
    images_each,
    left_by_clusters,
    patient_numbers,
    quantile_of,
    tail_of,
)

#: With a product of independent images of the rarer class and distance of the AUROC from 0 or 1 below this, DeLong's
#: variance is made by a few images, and how they spread is not known.
FEW_ERRORS = 2.5
#: Of the largest possible variance of an AUROC: what it comes to at high AUROCs under exponential scores (Hanley &
#: McNeil, Radiology 143:29-36, 1982), which are the widest of the usual shapes.
WIDE_SHAPE = 0.5
#: How the method of an interval says so.
FEW_ERRORS_SAID = "few errors"


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with the bounds of its interval and how they were made."""

    value: float
    lower: float
    upper: float
    method: str

    @classmethod
    def of_record(cls, record: MetricRecord | None) -> Interval | None:
        """That of a record of ``metrics.json``; None where there is none, or it has no value or no interval."""
        if record is None or record.value is None or record.lower is None or record.upper is None:
            return None
        return cls(record.value, record.lower, record.upper, record.method)


def z_of(confidence: float) -> float:
    """Half-width of a two-sided interval in standard deviations; 1.96 for 0.95."""
    return quantile_of(confidence)


def rests_on_few_errors(value: float, n_positive: float, n_negative: float) -> bool:
    """Whether few errors make DeLong's interval of an AUROC, so that it covers less than it says; at 0 and 1 it is not
    DeLong's.

    So at AUROC 0.90 with fewer than 25 independent positives, at 0.76 with fewer than 11.
    """
    return 0.0 < min(n_positive, n_negative) * min(value, 1.0 - value) < FEW_ERRORS


def auroc_interval(
    is_positive: np.ndarray, score: np.ndarray, confidence: float, patient_key: np.ndarray | None = None
) -> Interval:
    """The AUROC with its DeLong interval by patient, made on the logit scale so that it stays in (0, 1) and covers near
    1; ``patient_key``, shape ``(n,)``, is None where no two images are of one patient.

    Where DeLong's variance is 0 it says nothing of the uncertainty, and a bound that needs no variance stands in:

    - AUROC 1 (or 0): there are ``k`` disjoint pairs of images of different patients, all in the right order, which
      has a probability of at most AUROC^k. The lower bound solves AUROC^k = (1 - confidence) / 2.
    - between (all scores tied): variance AUROC (1 - AUROC) / k, the largest possible (Birnbaum & Klose 1957).

    Where few errors make DeLong's interval (:func:`rests_on_few_errors`) it is the wider of DeLong's and Wilson's score
    interval with ``WIDE_SHAPE`` of that largest variance. Of 95 % intervals in 3000 simulated splits each, 5 to 100
    positives of 50 to 1100 images, true AUROC 0.60 to 0.98, scores normal with equal, half and double spread,
    exponential to either side, and normal with 10 or 20 % of the positives scored as negatives are, there covered:

    ============================================= ======================== ========================
    independent positives x (1 - true AUROC)      DeLong, logit scale      this function
    ============================================= ======================== ========================
    below 2.5                                     0.69 to 0.98, mean 0.89  0.95 to 1.00, mean 0.98
    2.5 to 6                                      0.91 to 0.96, mean 0.94  0.93 to 0.98, mean 0.96
    above 6                                       0.93 to 0.96, mean 0.95  0.93 to 0.96, mean 0.95
    ============================================= ======================== ========================

    Its lower end was above the truth in at most 2.7 % where there are few errors, DeLong's in up to 29 %.

    Source for the logit scale: Pepe, The Statistical Evaluation of Medical Tests (2003), section 5.2.

    Raises:
        ValueError, UndefinedMetric: As in ``scores.checked``; fewer than two images or patients of a class.
    """
    is_positive = np.asarray(is_positive).astype(bool)
    patient = np.arange(len(is_positive)) if patient_key is None else patient_numbers(patient_key)
    value, each = influences(is_positive, score, None if patient_key is None else patient)
    variance = float((np.bincount(patient, weights=each) ** 2).sum())
    counts = [images_each(patient, member) for member in (is_positive, ~is_positive)]
    by = "" if len(counts[0]) == len(is_positive) else " by patient"
    percent = f"{confidence * 100:g} %"
    if value in (0.0, 1.0):
        pairs = _disjoint_pairs(*counts)
        reach = 1.0 - ((1.0 - confidence) / 2.0) ** (1.0 / pairs)
        method = f"exact bound from {pairs} disjoint pairs, {percent} (DeLong has no variance at {value:g})"
        return Interval(value, max(0.0, value - reach), min(1.0, value + reach), method)
    rarer, images = min((effective_number(one), int(one.sum())) for one in counts)
    method = f"DeLong {percent}{by}, logit scale"
    if variance <= 0.0:
        variance, method = value * (1.0 - value) / rarer, f"largest possible variance, {percent} (DeLong's is 0)"
    found = logit_scale_interval(value, variance, confidence, method, left_by_clusters(rarer, images))
    if not rests_on_few_errors(value, *map(effective_number, counts)):
        return found
    wide = score_interval(value, rarer / WIDE_SHAPE, quantile_of(confidence), "")
    method = f"wider of DeLong {percent}{by} and Wilson with half of the largest variance ({FEW_ERRORS_SAID})"
    return Interval(value, min(found.lower, wide.lower), max(found.upper, wide.upper), method)


def _disjoint_pairs(positives: np.ndarray, negatives: np.ndarray) -> int:
    """How many pairs of a positive and a negative image there are, each of two patients of its own; 1 or more.

    ``positives`` and ``negatives`` count the images of each patient.
    """
    of_class = (int(np.count_nonzero(one)) for one in (positives, negatives))
    return max(1, min(*of_class, int(np.count_nonzero(positives + negatives)) // 2))


def logit_scale_interval(
    value: float, variance: float, confidence: float, method: str, freedom: float = math.inf
) -> Interval:
    """``value`` in (0, 1) with the normal interval of its logit (Student's with ``freedom``), which stays in (0, 1)."""
    centre, spread = math.log(value / (1.0 - value)), math.sqrt(variance) / (value * (1.0 - value))
    z = quantile_of(confidence, freedom)
    return Interval(value, _expit(centre - z * spread), _expit(centre + z * spread), method)


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
        """The standard error of the difference if ``difference`` were the true one.

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
        """The standard error, if the true difference were ``difference``: the larger of two where errors are few."""
        return self.error if self.few is None else max(self.error, self.few.error_at(difference))

    def interval(self, confidence: float) -> Interval:
        """DeLong's; where few errors make it, all true differences that are no further off than chance explains."""
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
    """AUROC of ``candidate`` less that of ``champion`` on the same images; ``patient_key`` as in ``delong.delong``.

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
    rarer, images = min((effective_number(one), int(one.sum())) for one in counts)
    by = "" if patient.max() + 1 == len(patient) else " by patient"
    few = None
    if any(rarer * min(one, 1.0 - one) < FEW_ERRORS for one in values) and not _rank_alike(candidate, champion):
        correlation = _rank_correlation(is_positive, candidate, champion)
        few = FewErrors(float(values[0]), float(values[1]), rarer, correlation)
    return Difference(difference, error, left_by_clusters(rarer, images), by, few)


def _rank_correlation(is_positive: np.ndarray, one: np.ndarray, other: np.ndarray) -> float:
    """Of the ranks of both scores within each class, the mean of both classes; not below 0.

    Stands for the correlation of two AUROCs (Hanley & McNeil, Radiology 148:839-843, 1983), which DeLong's covariance
    tells badly where few errors make it.
    """
    found = []
    for member in (is_positive, ~is_positive):
        ranks = np.stack([midranks(one[member]), midranks(other[member])])
        deviations = ranks.std(axis=1)
        found.append(float(np.corrcoef(ranks)[0, 1]) if deviations.all() else 0.0)
    return max(0.0, float(np.mean(found)))


def _rank_alike(one: np.ndarray, other: np.ndarray) -> bool:
    return bool((midranks(one) == midranks(other)).all())


def wilson(n_hits: int, n: int, confidence: float) -> Interval:
    """A proportion of independent images with Wilson's score interval (JASA 22:209-212, 1927); right at 0 and 1 too.

    Of images of which several are of one patient: ``shares.Share``.

    Raises:
        UndefinedMetric: ``n`` is 0.
    """
    if n == 0:
        raise UndefinedMetric("a proportion of 0 images has no value")
    return score_interval(n_hits / n, n, z_of(confidence), f"Wilson {confidence * 100:g} %")


def score_interval(share: float, n: float, quantile: float, method: str) -> Interval:
    """Wilson's interval of ``share`` in [0, 1] that was seen in ``n`` independent images, or in as much as those."""
    z = quantile
    scale = 1.0 + z * z / n
    centre = (share + z * z / (2.0 * n)) / scale
    reach = z / scale * math.sqrt(share * (1.0 - share) / n + z * z / (4.0 * n * n))
    # At 0 and 1 the bound equals the share; rounding must not put it beside it.
    lower = 0.0 if share == 0.0 else max(0.0, centre - reach)
    upper = 1.0 if share == 1.0 else min(1.0, centre + reach)
    return Interval(share, lower, upper, method)


def independent_difference(one: Interval, other: Interval, method: str) -> Interval:
    """The value of ``one`` less that of ``other``, which is of other patients; its interval comes from both bounds.

    Each side's interval may be lopsided; at values near 0 or 1 it should be. Source: Zou & Donner, Statistics in
    Medicine 27:1693-1702 (2008), of which Newcombe's method 10 is the case of two Wilson intervals.
    """
    return correlated_difference(one, other, 0.0, method)


def correlated_difference(one: Interval, other: Interval, correlation: float, method: str) -> Interval:
    """:func:`independent_difference` where the errors of both have ``correlation``, as with patients on both sides."""
    difference = one.value - other.value
    sides = (one.value - one.lower, other.upper - other.value), (one.upper - one.value, other.value - other.lower)
    # hypot where there is no correlation, so that the known formula's bounds come out to the last bit.
    down, up = (
        math.hypot(a, b) if correlation == 0.0 else math.sqrt(max(0.0, a * a + b * b - 2.0 * correlation * a * b))
        for a, b in sides
    )
    return Interval(difference, difference - down, difference + up, method)


def _expit(value: float) -> float:
    return 1.0 / (1.0 + math.exp(-value)) if value >= 0 else math.exp(value) / (1.0 + math.exp(value))

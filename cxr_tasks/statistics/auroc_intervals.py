"""The interval of an AUROC, by patient, also where few errors make it."""

from __future__ import annotations

import numpy as np

from cxr_tasks.statistics.delong import influences
from cxr_tasks.statistics.intervals import Interval, logit_scale_interval, score_interval
from cxr_tasks.statistics.patients import (
    effective_number,
    images_each,
    left_by_clusters,
    patient_numbers,
    quantile_of,
)

#: With a product of independent images of the rarer class and distance of the AUROC from 0 or 1 below this, DeLong's
#: variance is made by a few images, and how they spread is not known.
FEW_ERRORS = 2.5
#: Of the largest possible variance of an AUROC: what it comes to at high AUROCs under exponential scores (Hanley &
#: McNeil, Radiology 143:29-36, 1982), which are the widest of the usual shapes.
WIDE_SHAPE = 0.5
#: How the method of an interval says so.
FEW_ERRORS_SAID = "few errors"


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
    rarer, images = min((effective_number(count), int(count.sum())) for count in counts)
    method = f"DeLong {percent}{by}, logit scale"
    if variance <= 0.0:
        variance, method = value * (1.0 - value) / rarer, f"largest possible variance, {percent} (DeLong's is 0)"
    interval = logit_scale_interval(value, variance, confidence, method, left_by_clusters(rarer, images))
    if not rests_on_few_errors(value, *map(effective_number, counts)):
        return interval
    wide = score_interval(value, rarer / WIDE_SHAPE, quantile_of(confidence), "")
    method = f"wider of DeLong {percent}{by} and Wilson with half of the largest variance ({FEW_ERRORS_SAID})"
    return Interval(value, min(interval.lower, wide.lower), max(interval.upper, wide.upper), method)


def _disjoint_pairs(positives: np.ndarray, negatives: np.ndarray) -> int:
    """How many pairs of a positive and a negative image there are, each of two patients of its own; 1 or more.

    ``positives`` and ``negatives`` count the images of each patient.
    """
    of_class = (int(np.count_nonzero(member)) for member in (positives, negatives))
    return max(1, min(*of_class, int(np.count_nonzero(positives + negatives)) // 2))

"""DeLong's variance of the AUROC, and of the difference of two AUROCs on the same images, counted by patient.

Sources: DeLong, DeLong & Clarke-Pearson, Biometrics 44:837-845 (1988); computed by midranks in O(n log n) as in
Sun & Xu, IEEE Signal Processing Letters 21:1389-1393 (2014); with several images a patient Obuchowski, Biometrics
53:567-578 (1997). Her variance follows where each patient has as many images as the others; where some have many more,
their weight makes the placements' mean follow them, and each patient's error is made larger by that weight (as Bell &
McCaffrey, Survey Methodology 28:169-181, 2002, do in a regression). With one image a patient both are DeLong's.
"""

from __future__ import annotations

import numpy as np

from cxr_tasks.contracts.errors import UndefinedMetric
from cxr_tasks.statistics.patients import images_each, patient_numbers
from cxr_tasks.statistics.scores import checked


def midranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, equal values sharing the mean of their ranks; float, shape ``(n,)``.

    >>> midranks(np.array([10.0, 20.0, 10.0])).tolist()
    [1.5, 3.0, 1.5]
    """
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2.0)[inverse]


def placements(is_positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each image's share of the other class that it stands on the right side of, ties as half.

    Returns:
        For the ``m`` positives, the share of negatives scored lower, shape ``(m,)``; for the ``n - m`` negatives, the
        share of positives scored higher, shape ``(n - m,)``. The mean of either is the AUROC.
    """
    is_positive, score = checked(is_positive, score)
    positives, negatives = score[is_positive], score[~is_positive]
    ranks = midranks(score)
    of_positives = (ranks[is_positive] - midranks(positives)) / len(negatives)
    of_negatives = 1.0 - (ranks[~is_positive] - midranks(negatives)) / len(positives)
    return of_positives, of_negatives


def delong(
    is_positive: np.ndarray, scores: np.ndarray, patient_key: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """AUROCs of ``k`` models on the same ``n`` images, shape ``(k,)``, and their covariance, shape ``(k, k)``.

    Args:
        is_positive: bool, shape ``(n,)``; images of at least two patients in each class.
        scores: float, shape ``(k, n)``.
        patient_key: whose each image is, shape ``(n,)``; None where no two are of one patient.

    Raises:
        ValueError: As in ``scores.checked``; without ``patient_key`` fewer than two positives or negatives.
        UndefinedMetric: All images of a class are of one patient.
    """
    patient = None if patient_key is None else patient_numbers(patient_key)
    of_scores = [influences(is_positive, score, patient) for score in np.atleast_2d(scores)]
    errors = np.stack([each if patient is None else np.bincount(patient, weights=each) for _, each in of_scores])
    return np.array([value for value, _ in of_scores]), errors @ errors.T


def influences(
    is_positive: np.ndarray, score: np.ndarray, patient_key: np.ndarray | None = None
) -> tuple[float, np.ndarray]:
    """The AUROC and what each image contributes to its error, shape ``(n,)``.

    Summed by patient, then squared and summed, they are the variance. Contributions of several findings on the same
    images can be added up before that, which is how the variance of a mean over findings comes out right although the
    findings share their images. ``patient_key`` as in :func:`delong`.

    Source: the structural components of DeLong et al. (1988), section 2, and what the module's first lines say.

    Raises:
        ValueError, UndefinedMetric: As in :func:`delong`.
    """
    is_positive = np.asarray(is_positive).astype(bool)
    of_positives, of_negatives = placements(is_positive, score)
    value = float(of_positives.mean())
    patient = None if patient_key is None else patient_numbers(patient_key)
    each = np.empty(len(is_positive))
    m, n = len(of_positives), len(of_negatives)
    if patient is None and min(m, n) < 2:
        raise ValueError(f"expected at least two images of each class, found {m} positives and {n} negatives")
    for member, placed in ((is_positive, of_positives), (~is_positive, of_negatives)):
        weight = 1.0 / len(placed) if patient is None else _weight(patient, member)
        each[member] = (placed - value) / len(placed) / np.sqrt(1.0 - weight)
    return value, each


def _weight(patient: np.ndarray, member: np.ndarray) -> np.ndarray:
    """The share of its class that each member's patient holds; below 1."""
    each = images_each(patient, member)
    if np.count_nonzero(each) < 2:
        raise UndefinedMetric(
            f"expected images of each class of at least two patients, found all {int(member.sum())} of a class in one"
        )
    return (each / each.sum())[patient[member]]

"""Images by patient: how many independent images they are worth, and the quantiles that follow."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from cxr_tasks.contracts.evaluation.of_finding import ClassCount


def patient_numbers(patient_key: np.ndarray) -> np.ndarray:
    """The number of each image's patient, int ``(n,)``, from 0 on without a gap; the order says nothing."""
    import pandas as pd

    numbers, _ = pd.factorize(np.asarray(patient_key))
    return np.asarray(numbers, np.int64)


def images_each(patient: np.ndarray, is_counted: np.ndarray | None = None) -> np.ndarray:
    """How many of the counted images each patient has, float ``(n_patients,)``; 0 for patients that have others only.

    ``patient`` as :func:`patient_numbers` gives it; None counts all.
    """
    return np.bincount(patient, weights=is_counted).astype(float)


def effective_number(each: np.ndarray) -> float:
    """How many independent images are worth as much as the images of these patients, if those of one patient tell the
    same: (sum of n_i)^2 / sum of n_i^2 (Kish, Survey Sampling, 1965). With one image each, their number; 0 of none.

    >>> effective_number(np.array([1.0, 1.0, 1.0])), effective_number(np.array([4.0, 4.0, 0.0]))
    (3.0, 2.0)
    """
    squares = float((each**2).sum())
    return float(each.sum()) ** 2 / squares if squares else 0.0


def class_counts(is_positive: np.ndarray, patient_key: np.ndarray) -> dict[str, ClassCount]:
    """Of the ``positive`` and of the ``negative`` images: how many they are, and of how many patients.

    Args:
        is_positive: bool or 0 and 1, ``(n,)``.
        patient_key: str, ``(n,)``.
    """
    patient, is_positive = patient_numbers(patient_key), np.asarray(is_positive).astype(bool)
    counts = {}
    for name, member in (("positive", is_positive), ("negative", ~is_positive)):
        each = images_each(patient, member)
        counts[name] = ClassCount(
            n=int(member.sum()), n_patients=int(np.count_nonzero(each)), n_effective=effective_number(each)
        )
    return counts


def left_by_clusters(effective: float, n: int) -> float:
    """Degrees of freedom for a variance made of ``n`` images that are worth ``effective`` independent ones.

    1 / freedom = 1 / (effective - 1) - 1 / (n - 1): what clustering takes away, and no more. So images that are
    independent have infinitely many, and the interval is the known one; Korn & Graubard (Survey Methodology 24:193-201,
    1998) set clustered against independent images alike.
    """
    lost = 1.0 / max(effective - 1.0, 1.0) - 1.0 / max(n - 1.0, 1.0)
    return 1.0 / lost if lost > 1e-12 else math.inf


def quantile_of(confidence: float, freedom: float = math.inf) -> float:
    """Half-width of a two-sided interval of ``confidence``, in (0, 1), in standard errors: Student's with ``freedom``,
    above 0; 1.96 for 0.95 and no limit."""
    if math.isinf(freedom):
        return NormalDist().inv_cdf(0.5 + confidence / 2.0)
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.5 + confidence / 2.0))


def tail_of(value: float, freedom: float = math.inf) -> float:
    """The chance, in [0, 1], of a number at or below ``value`` standard errors, by Student's distribution with
    ``freedom``, above 0."""
    if math.isinf(freedom):
        return NormalDist().cdf(value)
    from scipy.special import stdtr

    return float(stdtr(freedom, value))

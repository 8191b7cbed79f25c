"""Known measures put together from the platform's parts, for tests that compare with them: the stages go by parts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cxr_tasks.statistics.auroc_differences import paired_difference
from cxr_tasks.statistics.calibration import brier_and_ece, calibration_columns
from cxr_tasks.statistics.intervals import Interval, independent_difference, wilson
from cxr_tasks.statistics.resampling import Draws, percentile_bounds
from cxr_tasks.statistics.scores import Ranking, Steps, average_precision_of, f1_of, specificity_of


def weighted_brier(is_positive: np.ndarray, probability: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Brier score of each resample, shape ``(b,)``, under ``weights`` ``(b, n)``; None counts each image once."""
    return _calibration(is_positive, probability, weights)[0]


def weighted_ece(is_positive: np.ndarray, probability: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """As ``weighted_brier``, of the expected calibration error."""
    return _calibration(is_positive, probability, weights)[1]


def _calibration(
    is_positive: np.ndarray, probability: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    weights = np.ones((1, len(probability))) if weights is None else weights
    return brier_and_ece(np.stack(calibration_columns(is_positive, probability)) @ weights.T, weights.sum(axis=1))


def weighted_average_precision(is_positive: np.ndarray, score: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    return average_precision_of(_steps(is_positive, score, weights))


def weighted_specificity_at(
    is_positive: np.ndarray, score: np.ndarray, weights: np.ndarray | None, *, sensitivity: float
) -> np.ndarray:
    return specificity_of(_steps(is_positive, score, weights), sensitivity)


def weighted_f1(is_positive: np.ndarray, is_called: np.ndarray, weights: np.ndarray) -> np.ndarray:
    columns = (is_positive & is_called, is_positive, is_called)
    return f1_of(*(weights @ one.astype(float) for one in columns))


def _steps(is_positive: np.ndarray, score: np.ndarray, weights: np.ndarray | None) -> Steps:
    return Ranking(is_positive, score).steps(np.ones((len(score), 1)) if weights is None else weights.T)


def auroc_difference(
    is_positive: np.ndarray,
    candidate: np.ndarray,
    champion: np.ndarray,
    confidence: float,
    patient_key: np.ndarray | None = None,
) -> Interval:
    return paired_difference(is_positive, candidate, champion, patient_key).interval(confidence)


def newcombe(hits: int, n: int, other_hits: int, other_n: int, confidence: float) -> Interval:
    """The share ``hits / n`` less ``other_hits / other_n`` of other images, with Newcombe's hybrid score interval.

    Built from the two Wilson intervals, so it holds at shares of 0 and 1 and in small groups. Source: Newcombe,
    Statistics in Medicine 17:873-890 (1998), method 10.

    Raises:
        UndefinedMetric: A group is empty.
    """
    one, other = wilson(hits, n, confidence), wilson(other_hits, other_n, confidence)
    return independent_difference(one, other, f"Newcombe {confidence * 100:g} %")


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

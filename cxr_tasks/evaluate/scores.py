"""Metrics of one finding from scores, exact; each takes optional weights so that it can be resampled.

Shapes: ``n`` images; ``weights`` is ``(b, n)``, one row per resample (how often each image counts), and the answer
then has shape ``(b,)``, NaN where a resample leaves the metric undefined.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cxr_tasks.contracts.errors import UndefinedMetric


def checked(is_positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays of one shape ``(n,)``, bool and float64.

    Raises:
        ValueError: Shapes differ, or a score is NaN.
        UndefinedMetric: Only one class is present; 0.5 would read as a measured result.
    """
    is_positive = np.asarray(is_positive).astype(bool)
    score = np.asarray(score, dtype=np.float64)
    if is_positive.shape != score.shape or is_positive.ndim != 1:
        raise ValueError(f"expected two arrays of shape (n,), found {is_positive.shape} and {score.shape}")
    if np.isnan(score).any():
        raise ValueError(f"expected scores, found NaN in {int(np.isnan(score).sum())} of {len(score)} rows")
    n_positive = int(is_positive.sum())
    if n_positive in (0, len(is_positive)):
        raise UndefinedMetric(f"expected both classes, found {n_positive} positives among {len(is_positive)} images")
    return is_positive, score


@dataclass(frozen=True)
class _Steps:
    """Weights summed over equal scores, from the highest score down; each of shape ``(b, n_distinct)``."""

    positives: np.ndarray
    negatives: np.ndarray
    thresholds: np.ndarray
    """The distinct scores, descending, shape ``(n_distinct,)``."""


def _steps(is_positive: np.ndarray, score: np.ndarray, weights: np.ndarray | None) -> _Steps:
    is_positive, score = checked(is_positive, score)
    weights = np.ones((1, len(score))) if weights is None else np.asarray(weights, dtype=np.float64)
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    positives = np.add.reduceat(weights[:, order] * is_positive[order], starts, axis=1)
    negatives = np.add.reduceat(weights[:, order] * ~is_positive[order], starts, axis=1)
    return _Steps(positives, negatives, ordered[starts])


def auroc(is_positive: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve of one finding, exact, ties counted as half.

    Args:
        is_positive: bool, shape ``(n,)``.
        score: float, shape ``(n,)``; any increasing scale serves. Not NaN.

    Raises:
        ValueError: Shapes differ, or a score is NaN.
        UndefinedMetric: Only one class is present; 0.5 would read as a measured result.

    Source: Hanley & McNeil, Radiology 143:29-36 (1982).

    >>> auroc(np.array([False, False, True, True]), np.array([0.1, 0.4, 0.35, 0.8]))
    0.75
    """
    return float(weighted_auroc(is_positive, score, None)[0])


def weighted_auroc(is_positive: np.ndarray, score: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """:func:`auroc` of each resample, shape ``(b,)``."""
    steps = _steps(is_positive, score, weights)
    negatives = steps.negatives.sum(axis=1)
    below = negatives[:, None] - np.cumsum(steps.negatives, axis=1)
    concordant = (steps.positives * (below + 0.5 * steps.negatives)).sum(axis=1)
    return _ratio(concordant, steps.positives.sum(axis=1) * negatives)


def weighted_average_precision(is_positive: np.ndarray, score: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Average precision of each resample, shape ``(b,)``: precision at each distinct score, weighted by the recall
    gained there, not interpolated (the definition of scikit-learn's ``average_precision_score``)."""
    steps = _steps(is_positive, score, weights)
    found = np.cumsum(steps.positives, axis=1)
    called = found + np.cumsum(steps.negatives, axis=1)
    precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
    return _ratio((steps.positives * precision).sum(axis=1), found[:, -1])


def weighted_specificity_at(
    is_positive: np.ndarray, score: np.ndarray, weights: np.ndarray | None, *, sensitivity: float
) -> np.ndarray:
    """Specificity of each resample at its highest threshold that reaches ``sensitivity``, shape ``(b,)``."""
    steps = _steps(is_positive, score, weights)
    found = np.cumsum(steps.positives, axis=1)
    # A hair below the target, so that 19 of 20 counts as 0.95 in floating point too.
    reached = found >= sensitivity * found[:, -1:] - 1e-9
    first = reached.argmax(axis=1)
    false_positives = np.take_along_axis(np.cumsum(steps.negatives, axis=1), first[:, None], axis=1)[:, 0]
    negatives = steps.negatives.sum(axis=1)
    undefined = found[:, -1] == 0
    return np.where(undefined, np.nan, 1.0 - _ratio(false_positives, negatives))


def weighted_f1(is_positive: np.ndarray, is_called: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """F1 of each resample at fixed calls, shape ``(b,)``."""
    weights = np.ones((1, len(is_positive))) if weights is None else weights
    hits = weights @ (is_positive & is_called).astype(float)
    return _ratio(2 * hits, weights @ is_positive.astype(float) + weights @ is_called.astype(float))


def roc_points(is_positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False-positive rate and sensitivity at each distinct score, from (0, 0) to (1, 1)."""
    steps = _steps(is_positive, score, None)
    false_positives, found = np.cumsum(steps.negatives[0]), np.cumsum(steps.positives[0])
    return np.r_[0.0, false_positives / false_positives[-1]], np.r_[0.0, found / found[-1]]


def precision_recall_points(is_positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision at each distinct score, from the highest score down."""
    steps = _steps(is_positive, score, None)
    found = np.cumsum(steps.positives[0])
    return found / found[-1], found / (found + np.cumsum(steps.negatives[0]))


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=denominator > 0)

"""Metrics of one finding from scores, exact; each can be counted again under weights, so that it can be resampled.

Shapes: ``n`` images, ``b`` resamples, ``l`` levels of a :class:`Ranking`. ``weights`` says how often each image counts
in each resample; a metric then has shape ``(b,)``, NaN where a resample leaves it undefined.
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


@dataclass(frozen=True, slots=True)
class Steps:
    """Weights of positives and negatives at each level, from the highest score down; float64 ``(l, b)``."""

    positives: np.ndarray
    negatives: np.ndarray


class Ranking:
    """Images from the highest score down in levels, to be counted under many weights.

    A level holds the images of one score. Neighbouring levels without a positive are one level: no metric here looks
    between them, and with a rare finding hardly any level is left, which is what makes resampling fast.
    """

    def __init__(self, is_positive: np.ndarray, score: np.ndarray, rows: np.ndarray | None = None):
        """``rows`` (int, ``(n,)``) names the row of the weights that counts each image, its patient's for example; None
        takes a row of its own for each."""
        is_positive, score = checked(is_positive, score)
        rows = np.arange(len(score)) if rows is None else rows
        order = np.argsort(-score, kind="stable")
        ordered, positive = score[order], is_positive[order]
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        has_positive = np.add.reduceat(positive.astype(int), starts) > 0
        starts = starts[np.r_[True, has_positive[1:] | has_positive[:-1]]]
        level = np.zeros(len(order), int)
        level[starts[1:]] = 1
        level = np.cumsum(level)
        self.n_levels = len(starts)
        self._classes = [_Class(rows[order[member]], level[member]) for member in (positive, ~positive)]

    def steps(self, weights: np.ndarray) -> Steps:
        """``weights`` ``(n_rows, b)``, one column per resample, summed by level and class."""
        return Steps(*(of_class.summed(weights, self.n_levels) for of_class in self._classes))


class _Class:
    """Images of one class in the order of their levels."""

    def __init__(self, rows: np.ndarray, level: np.ndarray):
        self.rows = rows
        self.starts = np.flatnonzero(np.r_[True, level[1:] != level[:-1]])
        self.levels = level[self.starts]

    def summed(self, weights: np.ndarray, n_levels: int) -> np.ndarray:
        sums = np.zeros((n_levels, weights.shape[1]))
        sums[self.levels] = np.add.reduceat(weights[self.rows], self.starts, axis=0)
        return sums


def auroc_of(steps: Steps) -> np.ndarray:
    """AUROC of each resample, shape ``(b,)``: the share of (positive, negative) pairs in the right order, ties half."""
    negatives = steps.negatives.sum(axis=0)
    below = negatives - np.cumsum(steps.negatives, axis=0) + 0.5 * steps.negatives
    concordant = np.einsum("lb,lb->b", steps.positives, below)
    return _ratio(concordant, steps.positives.sum(axis=0) * negatives)


def average_precision_of(steps: Steps) -> np.ndarray:
    """Average precision of each resample, shape ``(b,)``: precision at each distinct score, weighted by the recall
    gained there, not interpolated (the definition of scikit-learn's ``average_precision_score``)."""
    true_positives = np.cumsum(steps.positives, axis=0)
    called = true_positives + np.cumsum(steps.negatives, axis=0)
    precision = np.divide(true_positives, called, out=np.zeros_like(true_positives), where=called > 0)
    return _ratio(np.einsum("lb,lb->b", steps.positives, precision), true_positives[-1])


def specificity_of(steps: Steps, sensitivity: float) -> np.ndarray:
    """Specificity of each resample at its highest threshold that reaches ``sensitivity``, in [0, 1]; ``(b,)``, NaN
    where one of the classes is not drawn."""
    true_positives = np.cumsum(steps.positives, axis=0)
    # A hair below the target, so that 19 of 20 counts as 0.95 in floating point too.
    first = (true_positives >= sensitivity * true_positives[-1] - 1e-9).argmax(axis=0)
    false_positives = np.take_along_axis(np.cumsum(steps.negatives, axis=0), first[None], axis=0)[0]
    return np.where(true_positives[-1] == 0, np.nan, 1.0 - _ratio(false_positives, steps.negatives.sum(axis=0)))


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
    """:func:`auroc_of` under ``weights`` ``(b, n)``; None counts each image once."""
    return auroc_of(_steps(is_positive, score, weights))


def _steps(is_positive: np.ndarray, score: np.ndarray, weights: np.ndarray | None) -> Steps:
    ranking = Ranking(is_positive, score)
    return ranking.steps(np.ones((len(score), 1)) if weights is None else np.asarray(weights, np.float64).T)


def f1_of(hits: np.ndarray, positives: np.ndarray, called: np.ndarray) -> np.ndarray:
    """F1 from counts of each resample, shape ``(b,)``; NaN where nothing is positive and nothing is called."""
    return _ratio(2.0 * hits, positives + called)


def roc_points(is_positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False-positive rate and sensitivity at each level, ``(n_levels + 1,)`` each, from (0, 0) to (1, 1); between them
    the curve is straight. Arguments and errors as :func:`auroc`."""
    steps = _steps(is_positive, score, None)
    false_positives, true_positives = np.cumsum(steps.negatives[:, 0]), np.cumsum(steps.positives[:, 0])
    return np.r_[0.0, false_positives / false_positives[-1]], np.r_[0.0, true_positives / true_positives[-1]]


def precision_recall_points(is_positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision at each level, ``(n_levels,)`` each, from the highest score down. Arguments and errors as
    :func:`auroc`."""
    steps = _steps(is_positive, score, None)
    true_positives = np.cumsum(steps.positives[:, 0])
    return true_positives / true_positives[-1], true_positives / (true_positives + np.cumsum(steps.negatives[:, 0]))


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=denominator > 0)

"""How good a network is on the validation split while it trains: loss, exact AUROC, and AUROC under stress."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from scipy.stats import rankdata

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.train_specs import AugmentSpec
from cxr_tasks.datasets.load import plain_batches
from cxr_tasks.datasets.rows_on_disk import unnamed_rows
from cxr_tasks.images.pixels import unit_scale
from cxr_tasks.train.data.augment import augment_batch, draw_table

#: The change of machine and framing that stressed views simulate. Fixed, so that recipes can be compared by it.
STRESS = AugmentSpec(
    rotate_degrees=8, stretch=0.15, crop=0.3, gamma=0.5, tone=1.0, illumination=0.3, blur=0.5, noise=0.04
)
STRESS_SEED = 1
BATCH = 64
#: Above this a stressed view is read from disk, so that memory does not grow with the number of images.
LARGEST_VIEW_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class ValidationScore:
    """One epoch's result on validation."""

    loss: float
    auroc: float
    auroc_stressed: float | None

    @property
    def score(self) -> float:
        """What epochs are compared by."""
        return self.auroc if self.auroc_stressed is None else (self.auroc + self.auroc_stressed) / 2


def is_better(score: float, loss: float, *, best_score: float, best_loss: float) -> bool:
    """Whether an epoch beats the best so far: a higher score; of equal ones (small splits reach 1.0 early) the loss."""
    return (score, -loss) > (best_score, -best_loss)


class Validator:
    """The validation split with its stressed views, ready to be scored again and again."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, n_stress_views: int, folder: Path):
        """Where a stressed view is larger than ``LARGEST_VIEW_BYTES`` its pixels are read from a file in ``folder``.

        Args:
            images: uint8 ``(n, size, size, 1)``.
            labels: float32 ``(n, n_findings)``: 0, 1 or NaN for unknown.
        """
        self.labels = labels
        mean_auroc(labels, np.zeros_like(labels))  # a split that cannot be scored is told before training
        self.views = [images, *(stressed_view(images, view, folder) for view in range(n_stress_views))]

    def score(self, logits: Sequence[np.ndarray], loss: float) -> ValidationScore:
        """The score of a network by its ``logits``, one array ``(n, n_findings)`` per view; ``loss`` is that on
        ``views[0]``, the images as they are."""
        plain, *stressed = [mean_auroc(self.labels, view) for view in logits]
        return ValidationScore(loss=loss, auroc=plain, auroc_stressed=float(np.mean(stressed)) if stressed else None)


def stressed_view(images: np.ndarray, view: int, folder: Path | None = None) -> np.ndarray:
    """``images`` (uint8) under ``STRESS``, uint8; the same images and ``view`` give the same pixels."""
    parts = _stressed_parts(images, view)
    if folder is None or images.nbytes <= LARGEST_VIEW_BYTES:
        return np.concatenate(list(parts))
    return unnamed_rows(folder, images.shape, np.uint8, parts)


def _stressed_parts(images: np.ndarray, view: int) -> Iterator[np.ndarray]:
    draws = draw_table(STRESS_SEED, view, len(images))
    for start in range(0, len(images), BATCH):
        part = slice(start, start + BATCH)
        seed = tf.constant([STRESS_SEED + view, start], tf.int32)
        floats = augment_batch(unit_scale(tf.constant(images[part])), tf.constant(draws[part]), seed, STRESS)
        yield tf.cast(tf.round(floats * 255.0), tf.uint8).numpy()


def predict(logits_of: Callable[[tf.Tensor], tf.Tensor], images: np.ndarray) -> np.ndarray:
    """Logits float32 ``(n, n_findings)`` of ``images`` (uint8 ``(n, size, size, 1)``)."""
    return np.concatenate([logits_of(batch).numpy() for batch in plain_batches(images, BATCH)])


def mean_auroc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Exact AUROC, ties as half, averaged over the findings that have both classes among the known labels.

    The Mann-Whitney form: the mean rank of the positives (Hanley & McNeil, Radiology 143:29-36, 1982).

    Args:
        labels: float ``(n, n_findings)``: 0, 1 or NaN for unknown.
        scores: float, same shape.

    Raises:
        DataDefect: No finding has both classes.

    >>> mean_auroc(np.array([[0.0], [0], [1], [1]]), np.array([[0.1], [0.4], [0.35], [0.8]]))
    0.75
    """
    values = []
    for finding in range(labels.shape[1]):
        is_positive, is_negative = labels[:, finding] == 1, labels[:, finding] == 0
        n_positive, n_negative = int(is_positive.sum()), int(is_negative.sum())
        if not n_positive or not n_negative:
            continue
        known = is_positive | is_negative
        ranks = rankdata(scores[known, finding])
        rank_sum = ranks[is_positive[known]].sum()
        values.append((rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))
    if not values:
        raise DataDefect(
            f"validation split, {len(labels)} images: expected a finding with both positive and negative images, found "
            "none; check the split's share and the labels"
        )
    return float(np.mean(values))

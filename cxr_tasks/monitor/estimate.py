"""What a model's numbers would be on served images if its probabilities still mean what they say: an estimate.

Confidence-based estimation: a calibrated probability p is the chance that the image is positive, so a called image adds
p to the expected true positives and 1 - p to the false ones. No label is looked at. It follows a change of the mix of
images; it cannot see that the model's probabilities have become wrong (another look of the disease, another labelling,
pictures that the model misreads), which is what many drifts do. It is never a measurement.

Source: Bialek, Nikolaidis & others, Estimating Model Performance Under Covariate Shift Without Labels,
arXiv:2401.08348 (2024), there "confidence-based performance estimation"; for its limits Garg et al., Leveraging
Unlabeled Data to Predict Out-of-Distribution Performance, ICLR 2022, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

N_DRAWS, SEED = 400, 20261130
CONFIDENCE = 0.95
NAMES = ("prevalence", "auroc", "sensitivity", "specificity")


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """An expected number with the interval that images and unknown labels leave; None where there is nothing to say."""

    name: str
    value: float | None
    lower: float | None = None
    upper: float | None = None
    n: int = 0


def estimates(probability: np.ndarray, is_called: np.ndarray) -> list[Estimate]:
    """Expected prevalence, AUROC, sensitivity and specificity.

    Args:
        probability: float, ``(n,)``, calibrated, not NaN.
        is_called: bool, ``(n,)``.

    The interval draws images with replacement and, for each, a label by its probability: what would be measured on
    ``n`` images if all probabilities were right.
    """
    n, rng = len(probability), np.random.default_rng(SEED)
    order = np.argsort(probability, kind="stable")
    probability, is_called = probability[order], is_called[order]
    # A pair of an image with itself is none: its expected part p (1 - p) is taken off.
    itself = float((probability * (1 - probability)).sum())
    values = _measured(probability, is_called, probability[None], (1 - probability)[None], itself)[:, 0]
    drawn = np.concatenate([_drawn(rng, probability, is_called, n_now) for n_now in _parts(n)], axis=1)
    made = []
    for name, value, draws in zip(NAMES, values, drawn, strict=True):
        known = draws[~np.isnan(draws)]
        if np.isnan(value) or len(known) < N_DRAWS // 2:
            made.append(Estimate(name=name, value=None, n=n))
            continue
        lower, upper = np.percentile(known, [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)])
        made.append(Estimate(name=name, value=float(value), lower=float(lower), upper=float(upper), n=n))
    return made


def _parts(n: int) -> list[int]:
    """Numbers of draws made at a time: together ``N_DRAWS``, each within some ten megabytes."""
    most = max(1, min(N_DRAWS, 1_000_000 // n))
    return [min(most, N_DRAWS - done) for done in range(0, N_DRAWS, most)]


def _drawn(rng: np.random.Generator, probability: np.ndarray, is_called: np.ndarray, n_draws: int) -> np.ndarray:
    n = len(probability)
    times = rng.multinomial(n, np.full(n, 1 / n), n_draws)
    positive = rng.binomial(times, probability)
    return _measured(probability, is_called, positive, times - positive, 0.0)


def _measured(
    score: np.ndarray, is_called: np.ndarray, positive: np.ndarray, negative: np.ndarray, itself: float
) -> np.ndarray:
    """Prevalence, AUROC, sensitivity and specificity, ``(4, n_draws)``, of rising scores ``(n,)``.

    ``positive`` and ``negative``, ``(n_draws, n)``: how often each image is there with either label.
    """
    n_positive, n_negative = positive.sum(axis=1), negative.sum(axis=1)
    begins = np.flatnonzero(np.diff(score, prepend=-1.0))
    tied_positive, tied_negative = (np.add.reduceat(weights_of, begins, axis=1) for weights_of in (positive, negative))
    below = np.cumsum(tied_negative, axis=1) - tied_negative / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        pairs = n_positive * n_negative - itself
        auroc = ((tied_positive * below).sum(axis=1) - itself / 2) / np.where(pairs > 0, pairs, np.nan)
        sensitivity = positive[:, is_called].sum(axis=1) / n_positive
        specificity = negative[:, ~is_called].sum(axis=1) / n_negative
    return np.stack([n_positive / (n_positive + n_negative), auroc, sensitivity, specificity])

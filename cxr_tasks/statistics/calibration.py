"""Calibration: logits into probabilities that mean what they say, fitted on validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from cxr_tasks.contracts.errors import chosen

#: Equal-width bins of the calibration error and the reliability diagram.
N_BINS = 10
#: Per standard deviation of the logits, where no positive slope fits.
FLAT_SLOPE = 0.01


@dataclass(frozen=True, slots=True)
class Platt:
    """probability = sigmoid(a * logit + b), with a > 0, so the order of the images never changes.

    Temperature scaling is the case b = 0, a = 1 / temperature.
    """

    a: float
    b: float
    note: str = ""
    """Why the fit is not the plain one; empty where it is."""
    method: str = "Platt scaling"

    def logits(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated log odds, float64, the shape of ``logits``; any real numbers."""
        return self.a * np.asarray(logits, dtype=np.float64) + self.b

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated probabilities in (0, 1), the shape of ``logits``."""
        return sigmoid(self.logits(logits))


def sigmoid(value: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-value)), float64 in [0, 1], the shape of ``value``; no overflow however large that is.

    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    value = np.asarray(value, dtype=np.float64)
    small = np.exp(-np.abs(value))
    return np.where(value >= 0, 1.0, small) / (1.0 + small)


def fit_calibration(is_positive: np.ndarray, logits: np.ndarray, method: Literal["platt", "temperature"]) -> Platt:
    """The calibration of one finding by ``method``, from its validation images.

    Args:
        is_positive: bool ``(n,)``.
        logits: Of the model, float ``(n,)``, finite.

    Raises:
        ConfigurationError: ``method`` is not known.
    """
    fits = {"platt": fit_platt, "temperature": fit_temperature}
    return chosen(fits, method, "evaluate.calibration")(is_positive, logits)


def fit_platt(is_positive: np.ndarray, logits: np.ndarray) -> Platt:
    """The maximum-likelihood ``a`` and ``b`` with Platt's smoothed targets, which keep it finite when the classes
    are separable. Where the best ``a`` is not positive (the model ranks validation no better than chance) the slope
    is nearly flat instead, so that every probability is about the share of positives, and the note says so: a
    calibration must not turn the ranking round. ``is_positive`` is bool, ``logits`` finite, both ``(n,)``.

    Source: Platt (1999); Newton's method with backtracking of Lin, Lin & Weng, Machine Learning 68:267-276 (2007).
    """
    targets, logits = _smoothed(is_positive), np.asarray(logits, dtype=np.float64)
    # Standardised for the search, so that one step size suits logits of any scale.
    centre, scale = float(logits.mean()), float(logits.std()) or 1.0
    slope, offset = _newton(np.stack([(logits - centre) / scale, np.ones_like(logits)], axis=1), targets)
    a = slope / scale
    if a > 0.0:
        return Platt(float(a), float(offset - a * centre))
    flat = FLAT_SLOPE / scale
    (shift,) = _newton(np.ones((len(logits), 1)), targets, fixed=flat * (logits - centre))
    return Platt(float(flat), float(shift - flat * centre), _flat_note(a, flat))


def fit_temperature(is_positive: np.ndarray, logits: np.ndarray) -> Platt:
    """The maximum-likelihood temperature, ``a = 1 / temperature`` and ``b = 0``, with Platt's smoothed targets.

    One number cannot move the mean: where training weighted the classes, probabilities stay off by that weight, and
    the calibration error says so. Arguments, and the flat slope that stands in, as in :func:`fit_platt`.

    Source: Guo, Pleiss, Sun & Weinberger, ICML 2017.
    """
    targets, logits = _smoothed(is_positive), np.asarray(logits, dtype=np.float64)
    scale = float(np.sqrt((logits**2).mean())) or 1.0
    (slope,) = _newton(logits[:, None] / scale, targets)
    a, method = slope / scale, "Temperature scaling"
    if a > 0.0:
        return Platt(float(a), 0.0, method=method)
    flat = FLAT_SLOPE / scale
    return Platt(float(flat), 0.0, _flat_note(a, flat), method)


def _smoothed(is_positive: np.ndarray) -> np.ndarray:
    """Platt's targets: a little less than 1 and a little more than 0, the less so the more images there are."""
    is_positive = np.asarray(is_positive).astype(bool)
    n_positive, n_negative = int(is_positive.sum()), int((~is_positive).sum())
    return np.where(is_positive, (n_positive + 1.0) / (n_positive + 2.0), 1.0 / (n_negative + 2.0))


def _flat_note(a: float, flat: float) -> str:
    return f"the fitted slope on validation was {a:.3g}, not above 0; a nearly flat one of {flat:.3g} stands in"


def _newton(design: np.ndarray, targets: np.ndarray, fixed: np.ndarray | float = 0.0) -> np.ndarray:
    """Coefficients ``(k,)`` of a logistic regression of ``targets`` on ``design`` ``(n, k)`` plus ``fixed``."""
    weights = np.zeros(design.shape[1])

    def loss(at: np.ndarray) -> float:
        z = design @ at + fixed
        return float((np.logaddexp(0.0, z) - targets * z).sum())

    best = loss(weights)
    for _ in range(100):
        p = sigmoid(design @ weights + fixed)
        gradient = design.T @ (p - targets)
        if np.abs(gradient).max() < 1e-9 * len(targets):
            break
        hessian = design.T @ (design * (p * (1.0 - p))[:, None]) + 1e-12 * np.eye(len(weights))
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while size > 1e-10 and (after := loss(weights - size * step)) > best - 1e-4 * size * float(gradient @ step):
            size /= 2.0
        if size <= 1e-10:
            break
        weights, best = weights - size * step, after
    return weights


def calibration_columns(is_positive: np.ndarray, probability: np.ndarray) -> list[np.ndarray]:
    """Per image its squared error, then its signed gap in each of the ``N_BINS`` bins; each of shape ``(n,)``.

    Brier score and calibration error need no more than the sums of these: :func:`brier_and_ece`.
    """
    gap = probability - is_positive.astype(float)
    member = np.eye(N_BINS)[bins_of(probability)].T
    return [gap**2, *(member * gap)]


def brier_and_ece(sums: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Brier score and expected calibration error, each ``(b,)``, from sums of the columns, ``(1 + N_BINS, b)``.

    The Brier score is the mean squared error of the probability; 0 is perfect (Brier 1950). The calibration error is
    the mean absolute gap between mean probability and share of positives over equal-width bins of the probability of
    the finding, weighted by images (Naeini et al., AAAI 2015). NaN where no image is drawn.
    """
    n = np.where(n > 0, n, np.nan)
    return sums[0] / n, np.abs(sums[1:]).sum(axis=0) / n


def bins_of(probability: np.ndarray) -> np.ndarray:
    """Bin number, 0 to ``N_BINS - 1``, of each probability in [0, 1]; int, the shape of ``probability``."""
    return np.minimum((np.asarray(probability) * N_BINS).astype(int), N_BINS - 1)

"""Curves of one finding on one split, with pointwise bands from resampled patients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cxr_tasks.evaluate.table import Scored
from cxr_tasks.statistics.scores import precision_recall_points, roc_points

GRID = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve and the pointwise band of ``confidence`` around it; all values in [0, 1]."""

    x: np.ndarray
    """Of the points that were measured, ``(n_points,)``."""
    y: np.ndarray
    lower: np.ndarray
    """The band at each x of ``GRID``, ``(101,)``."""
    upper: np.ndarray


def roc_curve(rows: Scored, *, confidence: float, samples: int, seed: int) -> Curve:
    """False-positive rate and sensitivity of one finding, with the band of ``samples`` resamples of patients."""
    x, y = roc_points(rows.is_positive, rows.logit)
    band = _band(rows, lambda chosen: _at_grid(*roc_points(*chosen)), confidence, samples, seed)
    return Curve(x, y, *band)


def precision_recall_curve(rows: Scored, *, confidence: float, samples: int, seed: int) -> Curve:
    """Recall and precision of one finding, with the band of ``samples`` resamples of patients."""
    x, y = precision_recall_points(rows.is_positive, rows.logit)
    band = _band(rows, lambda chosen: np.interp(GRID, *precision_recall_points(*chosen)), confidence, samples, seed)
    return Curve(x, y, *band)


def _at_grid(false_rate: np.ndarray, sensitivity: np.ndarray) -> np.ndarray:
    """Sensitivity at each false-positive rate of the grid; where the curve goes straight up, its upper end."""
    last = np.r_[false_rate[1:] != false_rate[:-1], True]
    return np.interp(GRID, false_rate[last], sensitivity[last])


def _band(rows: Scored, curve: Any, confidence: float, samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    patients, place = np.unique(rows.patient_key, return_inverse=True)
    images = [np.flatnonzero(place == patient) for patient in range(len(patients))]
    rng, curves = np.random.default_rng(seed), []
    for _ in range(samples):
        drawn = np.concatenate([images[number] for number in rng.integers(0, len(patients), len(patients))])
        positive = rows.is_positive[drawn]
        if 0 < positive.sum() < len(positive):
            curves.append(curve((positive, rows.logit[drawn])))
    tail = (1.0 - confidence) / 2.0
    lower, upper = np.quantile(np.array(curves), [tail, 1.0 - tail], axis=0)
    return lower, upper

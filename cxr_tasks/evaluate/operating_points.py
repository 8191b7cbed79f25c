"""Operating points: thresholds chosen on validation, and what each does elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from cxr_tasks.contracts.metrics import MetricRecord
from cxr_tasks.contracts.shapes import plain
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.calibration import sigmoid
from cxr_tasks.evaluate.intervals import wilson
from cxr_tasks.evaluate.measures import resampled_record
from cxr_tasks.evaluate.scores import checked, weighted_f1
from cxr_tasks.evaluate.table import Scored

#: Thresholds stay where a float32 can hold them; next to 1 its steps are far coarser than next to 0.
THRESHOLD_RANGE = (1e-30, 1.0 - 1e-6)
OPERATING_POINTS = ("youden", "best_f1", "target_sensitivity")


def choose_thresholds(is_positive: np.ndarray, logits: np.ndarray, target_sensitivity: float) -> dict[str, float]:
    """Probability thresholds of each operating point; an image at or above its threshold is called positive.

    ``youden`` maximises sensitivity + specificity, ``best_f1`` maximises F1, ``target_sensitivity`` is the highest
    threshold that reaches the target. Equal values go to the lower threshold, the one that misses less.

    A threshold stands half-way between two neighbouring images (on the logit scale), so the last bit of a float32
    in the model server cannot turn a call round.

    Args:
        is_positive: bool, shape ``(n,)``, of the validation split.
        logits: calibrated logits, shape ``(n,)``.
    """
    is_positive, logits = checked(is_positive, logits)
    distinct, group = np.unique(-logits, return_inverse=True)
    levels = -distinct
    found = np.cumsum(np.bincount(group, weights=is_positive))
    called = np.cumsum(np.bincount(group))
    n_positive, n = found[-1], called[-1]
    sensitivity, false_rate = found / n_positive, (called - found) / (n - n_positive)
    f1 = 2.0 * found / (n_positive + called)
    chosen = {
        "youden": _last_maximum(sensitivity - false_rate),
        "best_f1": _last_maximum(f1),
        "target_sensitivity": int(np.argmax(sensitivity >= target_sensitivity - 1e-9)),
    }
    return {
        name: float(np.clip(sigmoid(np.array(_below(levels, place))), *THRESHOLD_RANGE))
        for name, place in chosen.items()
    }


def _as_probability(logit: float) -> float:
    return float(np.clip(sigmoid(np.array(logit)), *THRESHOLD_RANGE))


def _last_maximum(values: np.ndarray) -> int:
    return int(np.flatnonzero(values >= values.max() - 1e-12)[-1])


def _below(levels: np.ndarray, place: int) -> float:
    """A level half-way between ``levels[place]`` and the next lower one; half a unit below the lowest."""
    following = levels[place + 1] if place + 1 < len(levels) else levels[place] - 1.0
    return float((levels[place] + following) / 2.0)


def confusion(is_positive: np.ndarray, is_called: np.ndarray) -> dict[str, int]:
    return {
        "true_positives": int((is_positive & is_called).sum()),
        "false_positives": int((~is_positive & is_called).sum()),
        "false_negatives": int((is_positive & ~is_called).sum()),
        "true_negatives": int((~is_positive & ~is_called).sum()),
    }


def measure(rows: Scored, is_called: np.ndarray, spec: EvaluateSpec) -> dict[str, Any]:
    """Counts and metrics of fixed calls on one split, JSON-ready.

    Proportions have Wilson intervals; F1 is no proportion and has a patient bootstrap. A proportion of nothing (PPV
    when nothing was called) is a record without a value, with the reason.
    """
    counts = confusion(rows.is_positive, is_called)
    tp, fp, fn, tn = counts.values()
    proportions = {
        "sensitivity": (tp, tp + fn, "positive images"),
        "specificity": (tn, tn + fp, "negative images"),
        "ppv": (tp, tp + fp, "images called positive"),
        "npv": (tn, tn + fn, "images called negative"),
        "accuracy": (tp + tn, tp + fp + fn + tn, "images"),
    }
    records = [_proportion(name, rows, parts, spec) for name, parts in proportions.items()]
    records.append(
        resampled_record("f1", rows, lambda weights: weighted_f1(rows.is_positive, is_called, weights), "", spec)
    )
    return {"n": rows.n, "n_positive": rows.n_positive, **counts, "metrics": plain(records)}


def _proportion(name: str, rows: Scored, parts: tuple[int, int, str], spec: EvaluateSpec) -> MetricRecord:
    hits, n, of = parts
    if n == 0:
        reason = f"there are no {of}"
        return MetricRecord(name=name, finding=rows.finding, split=rows.split, value=None, n=0, reason=reason)
    one = wilson(hits, n, spec.confidence)
    return MetricRecord(
        name=name, finding=rows.finding, split=rows.split, value=one.value, lower=one.lower, upper=one.upper, n=n,
        n_positive=hits, method=f"{one.method}, {hits} of {n} {of}",
    )  # fmt: skip

"""Operating points: thresholds chosen on validation, and what each does elsewhere."""

from __future__ import annotations

import numpy as np

from cxr_tasks.contracts.evaluation.of_finding import PointMeasures
from cxr_tasks.contracts.metrics import MetricRecord, Records
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.measures import draws_of, resampled_record, share_record
from cxr_tasks.evaluate.table import Scored
from cxr_tasks.statistics.calibration import sigmoid
from cxr_tasks.statistics.patients import patient_numbers
from cxr_tasks.statistics.resampling import Draws, drawn_sums, patient_sums
from cxr_tasks.statistics.scores import checked, f1_of
from cxr_tasks.statistics.shares import Share

#: Thresholds stay where a float32 can hold them; next to 1 its steps are far coarser than next to 0.
THRESHOLD_RANGE = (1e-30, 1.0 - 1e-6)


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
    levels, true_positives, called = _by_level(is_positive, logits)
    n_positive, n = true_positives[-1], called[-1]
    sensitivity, false_rate = true_positives / n_positive, (called - true_positives) / (n - n_positive)
    f1 = 2.0 * true_positives / (n_positive + called)
    chosen = {
        "youden": _last_maximum(sensitivity - false_rate),
        "best_f1": _last_maximum(f1),
        "target_sensitivity": int(np.argmax(sensitivity >= target_sensitivity - 1e-9)),
    }
    return {name: _threshold(levels, place) for name, place in chosen.items()}


def ppv_threshold(
    is_positive: np.ndarray, logits: np.ndarray, target_ppv: float, min_found: int
) -> tuple[float | None, str]:
    """The lowest threshold from which on at least ``target_ppv`` of the calls are right, and why there is none.

    At least ``min_found`` of the images called must be positive: a PPV of 1 from the one highest image is luck.

    Args:
        is_positive: bool ``(n,)``, of validation.
        logits: Calibrated, float ``(n,)``, finite.
        target_ppv: In (0, 1].

    Returns:
        The probability threshold and an empty text, or None and the reason.
    """
    levels, true_positives, called = _by_level(is_positive, logits)
    ppv = true_positives / called
    counts = true_positives >= min_found
    reached = np.flatnonzero(counts & (ppv >= target_ppv - 1e-9))
    if len(reached):
        return _threshold(levels, int(reached[-1])), ""
    if not counts.any():
        return None, f"validation holds {int(true_positives[-1])} positives, {min_found} found are asked for"
    best = int(np.argmax(np.where(counts, ppv, -1.0)))
    return None, (
        f"no threshold reaches a PPV of {target_ppv:g} on validation; the highest is {ppv[best]:.2f} "
        f"({int(true_positives[best])} of {int(called[best])} called, at least {min_found} found)"
    )


def _by_level(is_positive: np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct logits from the highest down; positives, and images, from there up."""
    is_positive, logits = checked(is_positive, logits)
    distinct, group = np.unique(-logits, return_inverse=True)
    return -distinct, np.cumsum(np.bincount(group, weights=is_positive)), np.cumsum(np.bincount(group))


def _threshold(levels: np.ndarray, place: int) -> float:
    return float(np.clip(sigmoid(np.array(_below(levels, place))), *THRESHOLD_RANGE))


def _last_maximum(values: np.ndarray) -> int:
    return int(np.flatnonzero(values >= values.max() - 1e-12)[-1])


def _below(levels: np.ndarray, place: int) -> float:
    """A level half-way between ``levels[place]`` and the next lower one; half a unit below the lowest."""
    following = levels[place + 1] if place + 1 < len(levels) else levels[place] - 1.0
    return float((levels[place] + following) / 2.0)


def measure(rows: Scored, is_called: np.ndarray, spec: EvaluateSpec, draws: Draws | None = None) -> PointMeasures:
    """Counts and metrics of fixed calls on one split.

    Beside :func:`proportion_records` F1, which is no proportion and has a patient bootstrap over ``draws``, which
    default to those of the patients of ``rows``.

    Args:
        is_called: bool, ``(n,)``, in the order of ``rows``.
    """
    records = proportion_records(rows, is_called, spec)
    records.append(_f1_record(rows, is_called, spec, draws or draws_of(rows, spec)))
    positive = rows.is_positive
    return PointMeasures(
        n=rows.n,
        n_positive=rows.n_positive,
        true_positives=int((positive & is_called).sum()),
        false_positives=int((~positive & is_called).sum()),
        false_negatives=int((positive & ~is_called).sum()),
        true_negatives=int((~positive & ~is_called).sum()),
        metrics=tuple(records),
    )


def proportion_records(rows: Scored, is_called: np.ndarray, spec: EvaluateSpec) -> list[MetricRecord]:
    """Sensitivity, specificity, PPV, NPV, accuracy and alarm rate of fixed calls, with Wilson intervals that count
    patients (``shares.Share``). One of nothing (PPV when nothing was called) has no value, and the reason.

    ``is_called`` is bool, an entry for each image of ``rows``.
    """
    positive, is_right = rows.is_positive, rows.is_positive == is_called
    everything = np.ones(rows.n, bool)
    proportions = {
        "sensitivity": (is_right, positive, "positive images"),
        "specificity": (is_right, ~positive, "negative images"),
        "ppv": (is_right, is_called, "images called positive"),
        "npv": (is_right, ~is_called, "images called negative"),
        "accuracy": (is_right, everything, "images"),
        "alarm_rate": (is_called, everything, "images"),
    }
    patient = patient_numbers(rows.patient_key)
    return [proportion_record(name, rows, patient, parts, spec) for name, parts in proportions.items()]


def _f1_record(rows: Scored, is_called: np.ndarray, spec: EvaluateSpec, draws: Draws) -> MetricRecord:
    columns = [rows.is_positive & is_called, rows.is_positive, is_called]
    sums = patient_sums(draws.places(rows.patient_key), len(draws.keys), columns)
    (value,) = f1_of(*sums.sum(axis=1, keepdims=True))
    values = draws.values(lambda block: f1_of(*drawn_sums(sums, block)), len(draws.keys))
    return resampled_record("f1", rows, float(value), values, "", draws, spec)


def at_raw_half(rows: Scored, spec: EvaluateSpec) -> Records:
    """Sensitivity and specificity if every uncalibrated probability from 0.5 on were called positive.

    Nothing is decided so; beside the served decision it shows what a threshold chosen per finding is worth.
    """
    is_right = rows.is_positive == (rows.logit >= 0.0)
    patient = patient_numbers(rows.patient_key)
    return (
        proportion_record(
            "sensitivity_at_raw_half", rows, patient, (is_right, rows.is_positive, "positive images"), spec
        ),
        proportion_record(
            "specificity_at_raw_half", rows, patient, (is_right, ~rows.is_positive, "negative images"), spec
        ),
    )


def proportion_record(
    name: str, rows: Scored, patient: np.ndarray, parts: tuple[np.ndarray, np.ndarray, str], spec: EvaluateSpec
) -> MetricRecord:
    """The share of hits among the images that ``parts`` (hits, members, what they are called) counts; no value of none.

    Args:
        patient: Of each image of ``rows``, as ``patients.patient_numbers`` gives it.
        parts: two bool ``(n,)``, and words.
    """
    is_hit, member, of = parts
    if not member.any():
        reason = f"there are no {of}"
        return MetricRecord(
            name=name, finding=rows.finding, split=rows.split, value=None, n=0, n_patients=0, reason=reason
        )
    share = Share.of(is_hit[member], patient[member])
    method = f"{share.interval(spec.confidence).method}, {share.hits} of {share.n} {of}"
    if share.is_clustered:
        method += f" of {share.n_patients} patients"
    return share_record(name, rows, share, method, spec)

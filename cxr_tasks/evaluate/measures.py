"""Metrics that need no threshold, of one finding on one split, as records with their intervals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cxr_tasks.contracts.errors import UndefinedMetric
from cxr_tasks.contracts.metrics import MetricRecord
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.calibration import Platt, sigmoid, weighted_brier, weighted_ece
from cxr_tasks.evaluate.intervals import auroc_interval, patient_bootstrap, wilson
from cxr_tasks.evaluate.scores import weighted_auroc, weighted_average_precision, weighted_specificity_at
from cxr_tasks.evaluate.table import Scored

Statistic = Callable[[np.ndarray | None], np.ndarray]

RANKING = ("auroc", "auroc_patient_bootstrap", "average_precision", "specificity_at_sensitivity")
CALIBRATION = ("brier_before", "brier_after", "ece_before", "ece_after")


def split_records(rows: Scored, platt: Platt | None, spec: EvaluateSpec) -> list[MetricRecord]:
    """Prevalence, AUROC twice (DeLong, patient bootstrap), average precision, specificity at the target sensitivity,
    and Brier score and calibration error before and after calibration.

    With too few positives or negatives every record has no value and the reason instead.
    """
    records = [_prevalence(rows, spec)]
    if reason := rows.too_few(spec.min_positives):
        return records + [_undefined(name, rows, reason) for name in (*RANKING, *CALIBRATION)]
    positive, logit = rows.is_positive, rows.logit
    records.append(delong_record(rows, spec))
    statistics: dict[str, tuple[Statistic, str]] = {
        "auroc_patient_bootstrap": (lambda w: weighted_auroc(positive, logit, w), ""),
        "average_precision": (lambda w: weighted_average_precision(positive, logit, w), "not interpolated"),
        "specificity_at_sensitivity": (
            lambda w: weighted_specificity_at(positive, logit, w, sensitivity=spec.target_sensitivity),
            f"at sensitivity {spec.target_sensitivity:g}, read off this split's own curve; no decision uses it",
        ),
        **_calibration_statistics("before", positive, sigmoid(logit)),
        **({} if platt is None else _calibration_statistics("after", positive, platt.probabilities(logit))),
    }
    records += [resampled_record(name, rows, *statistic, spec) for name, statistic in statistics.items()]
    if platt is None:
        reason = "no calibration: validation is not assessable"
        records += [_undefined(name, rows, reason) for name in ("brier_after", "ece_after")]
    return records


def _calibration_statistics(when: str, positive: np.ndarray, p: np.ndarray) -> dict[str, tuple[Statistic, str]]:
    return {
        f"brier_{when}": (lambda w: weighted_brier(positive, p, w), ""),
        f"ece_{when}": (lambda w: weighted_ece(positive, p, w), "10 bins of equal width"),
    }


def delong_record(rows: Scored, spec: EvaluateSpec) -> MetricRecord:
    """The exact AUROC of ``rows`` with its DeLong interval."""
    one = auroc_interval(rows.is_positive, rows.logit, spec.confidence)
    return MetricRecord(
        name="auroc", finding=rows.finding, split=rows.split, value=one.value, lower=one.lower, upper=one.upper,
        n=rows.n, n_positive=rows.n_positive, method=one.method,
    )  # fmt: skip


def resampled_record(name: str, rows: Scored, statistic: Statistic, detail: str, spec: EvaluateSpec) -> MetricRecord:
    """``statistic`` on all rows, with percentile bounds from resampled patients."""
    try:
        lower, upper = patient_bootstrap(
            rows.patient_key,
            statistic,
            confidence=spec.confidence,
            samples=spec.bootstrap_samples,
            seed=spec.bootstrap_seed,
        )
    except UndefinedMetric as error:
        return _undefined(name, rows, str(error))
    method = f"patient bootstrap {spec.confidence * 100:g} %, {spec.bootstrap_samples} resamples"
    value = float(statistic(None)[0])
    # Resampling adds noise, which a sum of absolute gaps (the calibration error) counts as error: its resamples lie
    # higher than the value itself, and an interval that leaves out its value would mislead.
    lower, upper = min(lower, value), max(upper, value)
    return MetricRecord(
        name=name, finding=rows.finding, split=rows.split, value=value, lower=lower, upper=upper,
        n=rows.n, n_positive=rows.n_positive, method=f"{detail}; {method}" if detail else method,
    )  # fmt: skip


def _prevalence(rows: Scored, spec: EvaluateSpec) -> MetricRecord:
    if rows.n == 0:
        return _undefined("prevalence", rows, f"{rows.split} holds no image with a known {rows.finding}")
    one = wilson(rows.n_positive, rows.n, spec.confidence)
    return MetricRecord(
        name="prevalence", finding=rows.finding, split=rows.split, value=one.value, lower=one.lower, upper=one.upper,
        n=rows.n, n_positive=rows.n_positive, method=one.method,
    )  # fmt: skip


def _undefined(name: str, rows: Scored, reason: str) -> MetricRecord:
    return MetricRecord(
        name=name, finding=rows.finding, split=rows.split, value=None, n=rows.n, n_positive=rows.n_positive,
        reason=f"not assessable: {reason}",
    )  # fmt: skip

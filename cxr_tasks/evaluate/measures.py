"""Metrics that need no threshold, of one finding on one split, as records with their intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cxr_tasks.contracts.errors import UndefinedMetric
from cxr_tasks.contracts.metrics import MetricRecord, Records
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.calibration_measures import calibration_records
from cxr_tasks.evaluate.table import Scored
from cxr_tasks.statistics.auroc_intervals import auroc_interval
from cxr_tasks.statistics.calibration import Platt, brier_and_ece, calibration_columns, sigmoid
from cxr_tasks.statistics.patients import patient_numbers
from cxr_tasks.statistics.resampling import Draws, drawn_sums, patient_sums, percentile_bounds
from cxr_tasks.statistics.scores import Ranking, auroc_of, average_precision_of, specificity_of
from cxr_tasks.statistics.shares import Share

RANKING = ("auroc", "auroc_patient_bootstrap", "average_precision", "specificity_at_sensitivity")
CALIBRATION = ("brier_before", "ece_before", "brier_after", "ece_after")
#: Of calibrated probabilities, against what the prevalence alone would give.
RELATIVE = ("brier_skill", "ece_relative")


def draws_of(rows: Scored, spec: EvaluateSpec) -> Draws:
    """The resamples of the patients of ``rows``."""
    return Draws.of(rows.patient_key, spec.bootstrap_samples, spec.bootstrap_seed)


@dataclass(frozen=True, slots=True)
class SplitMeasures:
    """One finding on one split: its records, and the resamples behind them, from which means over findings follow."""

    rows: Scored
    records: Records
    whole: dict[str, float]
    """Each resampled metric on all rows; empty where the finding is not assessable."""
    values: dict[str, np.ndarray]
    """The same of every resample, ``(samples,)``; the resamples are those of the split's draws."""

    @property
    def is_assessable(self) -> bool:
        """Whether there were enough images of each class to measure anything."""
        return bool(self.whole)


def measure_split(
    rows: Scored, platt: Platt | None, spec: EvaluateSpec, draws: Draws, fitted_on: Scored | None = None
) -> SplitMeasures:
    """Prevalence, AUROC twice (DeLong, patient bootstrap), average precision, specificity at the target sensitivity,
    Brier score and calibration error before and after calibration, and what they are worth beside the prevalence;
    calibration intercept, slope and shift (``calibration_measures``, with ``fitted_on``).

    With too few positives or negatives every record has no value and the reason instead. All bootstrap intervals come
    from one pass over ``draws``, those of the patients of the split.
    """
    records = [_prevalence(rows, spec)]
    if reason := rows.too_few(spec.min_positives):
        records += [undefined_record(name, rows, reason) for name in (*RANKING, *CALIBRATION, *RELATIVE)]
        records += calibration_records(rows, platt, spec, fitted_on)
        return SplitMeasures(rows, tuple(records), {}, {})
    records.append(delong_record(rows, spec))
    read_off = f"at sensitivity {spec.target_sensitivity:g}, read off this split's own curve; it sets no threshold"
    details = {
        "average_precision": "not interpolated",
        "specificity_at_sensitivity": read_off,
        "ece_before": "10 bins of equal width",
        "ece_after": "10 bins of equal width",
        "brier_skill": "1 - Brier score / (p (1 - p)), p the prevalence of this split",
        "ece_relative": "10 bins of equal width, divided by the prevalence",
    }
    resample = Resampled(rows, platt, spec.target_sensitivity, draws)
    whole = dict(zip(resample.names, resample(np.ones((len(draws.keys), 1)))[:, 0].tolist(), strict=True))
    values = dict(zip(resample.names, draws.values(resample, rows.n), strict=True))
    records += [
        resampled_record(name, rows, whole[name], values[name], details.get(name, ""), draws, spec) for name in whole
    ]
    if platt is None:
        reason = "no calibration: validation is not assessable"
        records += [undefined_record(name, rows, reason) for name in (*CALIBRATION[2:], *RELATIVE)]
    records += calibration_records(rows, platt, spec, fitted_on)
    return SplitMeasures(rows, tuple(records), whole, values)


class Resampled:
    """All statistics of one finding on one split, of each resample at once: a block of draws -> ``(s, b)``."""

    def __init__(self, rows: Scored, platt: Platt | None, target_sensitivity: float, draws: Draws):
        places, n_patients = draws.places(rows.patient_key), len(draws.keys)
        self.ranking = Ranking(rows.is_positive, rows.logit, places)
        self.target_sensitivity = target_sensitivity
        self.n_images = patient_sums(places, n_patients, [np.ones(rows.n)])
        probabilities = [sigmoid(rows.logit), *([] if platt is None else [platt.probabilities(rows.logit)])]
        self.calibration = [
            patient_sums(places, n_patients, calibration_columns(rows.is_positive, probability))
            for probability in probabilities
        ]
        relative = RELATIVE if platt is not None else ()
        self.names = (*RANKING[1:], *CALIBRATION[: 2 * len(probabilities)], *relative)

    def __call__(self, block: np.ndarray) -> np.ndarray:
        steps = self.ranking.steps(block)
        measured = [auroc_of(steps), average_precision_of(steps), specificity_of(steps, self.target_sensitivity)]
        (n,) = drawn_sums(self.n_images, block)
        for sums in self.calibration:
            measured += brier_and_ece(drawn_sums(sums, block), n)
        if "brier_skill" in self.names:
            with np.errstate(invalid="ignore", divide="ignore"):
                prevalence = steps.positives.sum(axis=0) / n
                chance = prevalence * (1.0 - prevalence)
                measured.append(np.where(chance > 0.0, 1.0 - measured[-2] / chance, np.nan))
                measured.append(np.where(prevalence > 0.0, measured[-2] / prevalence, np.nan))
        return np.stack(measured)


def delong_record(rows: Scored, spec: EvaluateSpec) -> MetricRecord:
    """The exact AUROC of ``rows`` with its DeLong interval."""
    interval = auroc_interval(rows.is_positive, rows.logit, spec.confidence, rows.patient_key)
    return MetricRecord(
        name="auroc", finding=rows.finding, split=rows.split, value=interval.value,
        lower=interval.lower, upper=interval.upper, n=rows.n, n_positive=rows.n_positive, n_patients=rows.n_patients,
        method=interval.method,
    )  # fmt: skip


def resampled_record(
    name: str, rows: Scored, value: float, values: np.ndarray, detail: str, draws: Draws, spec: EvaluateSpec
) -> MetricRecord:
    """``value``, measured on all rows, with percentile bounds of its resamples ``values`` ``(samples,)``."""
    try:
        lower, upper = percentile_bounds(values, len(draws.keys), spec.confidence)
    except UndefinedMetric as error:
        return undefined_record(name, rows, str(error))
    method = f"patient bootstrap {spec.confidence * 100:g} %, {spec.bootstrap_samples} resamples"
    # Resampling adds noise, which a sum of absolute gaps (the calibration error) counts as error: its resamples lie
    # higher than the value itself, and an interval that leaves out its value would mislead.
    lower, upper = min(lower, value), max(upper, value)
    return MetricRecord(
        name=name, finding=rows.finding, split=rows.split, value=value, lower=lower, upper=upper,
        n=rows.n, n_positive=rows.n_positive, n_patients=rows.n_patients,
        method=f"{detail}; {method}" if detail else method,
    )  # fmt: skip


def _prevalence(rows: Scored, spec: EvaluateSpec) -> MetricRecord:
    if rows.n == 0:
        return undefined_record("prevalence", rows, f"{rows.split} holds no image with a known {rows.finding}")
    share = Share.of(rows.is_positive, patient_numbers(rows.patient_key))
    return share_record("prevalence", rows, share, share.interval(spec.confidence).method, spec)


def share_record(name: str, rows: Scored, share: Share, method: str, spec: EvaluateSpec) -> MetricRecord:
    """``share`` of images of ``rows`` with its interval, and what is needed to make it again (``Share.of_record``)."""
    interval, facts = share.interval(spec.confidence), share.facts()
    return MetricRecord(
        name=name, finding=rows.finding, split=rows.split, value=interval.value, lower=interval.lower,
        upper=interval.upper, n=share.n, n_positive=share.hits, n_patients=share.n_patients,
        n_effective=share.n_effective, freedom=facts.freedom, method=method,
    )  # fmt: skip


def undefined_record(name: str, rows: Scored, reason: str) -> MetricRecord:
    """A record without a value, and why."""
    return MetricRecord(
        name=name, finding=rows.finding, split=rows.split, value=None, n=rows.n, n_positive=rows.n_positive,
        n_patients=rows.n_patients, reason=f"not assessable: {reason}",
    )  # fmt: skip

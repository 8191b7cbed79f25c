"""Several findings as one number: their mean, and all their (image, finding) pairs in one heap (micro)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cxr_tasks.contracts.errors import UndefinedMetric
from cxr_tasks.contracts.metrics import MetricRecord
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.measures import CALIBRATION, RELATIVE, SplitMeasures
from cxr_tasks.evaluate.table import Scored
from cxr_tasks.statistics.auroc_intervals import auroc_interval
from cxr_tasks.statistics.delong import influences
from cxr_tasks.statistics.intervals import Interval, logit_scale_interval
from cxr_tasks.statistics.patients import effective_number, images_each, left_by_clusters, patient_numbers
from cxr_tasks.statistics.resampling import Draws, clustered_variance, drawn_sums, patient_sums, percentile_bounds

#: Resampled metrics whose mean over findings is told.
MEANS = ("auroc_patient_bootstrap", "average_precision", *CALIBRATION, *RELATIVE)


@dataclass(frozen=True, slots=True)
class Summary:
    """Writes the records of one split's summary over findings; ``finding`` is ``mean`` or ``micro``."""

    finding: str
    split: str
    n: int
    about: str
    draws: Draws
    spec: EvaluateSpec

    def record(self, name: str, measured: Interval, n_positive: int | None = None) -> MetricRecord:
        """A number with its interval; its method says over how many findings it is."""
        return MetricRecord(
            name=name, finding=self.finding, split=self.split, value=measured.value, lower=measured.lower,
            upper=measured.upper, n=self.n, n_positive=n_positive, n_patients=len(self.draws.keys),
            method=f"{self.about}{measured.method}",
        )  # fmt: skip

    def resampled(self, name: str, value: float, values: np.ndarray, n_positive: int | None = None) -> MetricRecord:
        """``value`` with percentile bounds of its resamples ``values`` ``(n_resamples,)``, NaN where one is undefined.

        A record without a number where ``value`` is NaN or most resamples are.
        """
        if np.isnan(value):
            return self.undefined(name, f"the {name} of a finding has nothing to divide by")
        try:
            lower, upper = percentile_bounds(values, len(self.draws.keys), self.spec.confidence)
        except UndefinedMetric as error:
            return self.undefined(name, str(error))
        method = f"patient bootstrap {self.spec.confidence * 100:g} %, {self.spec.bootstrap_samples} resamples"
        return self.record(name, Interval(value, min(lower, value), max(upper, value), method), n_positive)

    def undefined(self, name: str, reason: str) -> MetricRecord:
        """A record without a number, and why."""
        return MetricRecord(
            name=name, finding=self.finding, split=self.split, value=None, n=self.n,
            n_patients=len(self.draws.keys), reason=f"not assessable: {reason}",
        )  # fmt: skip


def mean_records(measured: Sequence[SplitMeasures], split: str, draws: Draws, spec: EvaluateSpec) -> list[MetricRecord]:
    """``auroc`` (DeLong) and ``auroc_patient_bootstrap`` of the unweighted mean over the assessable findings; with
    several findings also the means of average precision, prevalence, Brier score and calibration error.

    A finding that is not assessable is left out and counted in ``method``; it never enters as a number.
    """
    assessable = [measures for measures in measured if measures.is_assessable]
    several = len(measured) > 1
    n = max((measures.rows.n for measures in measured), default=0)
    summary = Summary("mean", split, n, _about(assessable, measured) if several else "", draws, spec)
    if not assessable:
        reason = "; ".join(measures.rows.too_few(spec.min_positives) for measures in measured)
        return [summary.undefined(name, reason) for name in ("auroc", "auroc_patient_bootstrap")]
    if not several:
        (only,) = assessable
        interval = auroc_interval(only.rows.is_positive, only.rows.logit, spec.confidence, only.rows.patient_key)
        first, values, n_positive = only.whole["auroc_patient_bootstrap"], only.values, only.rows.n_positive
        resampled = summary.resampled("auroc_patient_bootstrap", first, values["auroc_patient_bootstrap"], n_positive)
        return [summary.record("auroc", interval, n_positive), resampled]
    records = [
        summary.record("auroc", mean_auroc_interval([measures.rows for measures in assessable], spec.confidence))
    ]
    for name in MEANS:
        having = [measures for measures in assessable if name in measures.values]
        if having:
            values_of = np.mean([measures.values[name] for measures in having], axis=0)
            value = float(np.mean([measures.whole[name] for measures in having]))
            about = dataclasses.replace(summary, about=_about(having, measured))
            records.append(about.resampled(name, value, values_of))
    value = float(np.mean([measures.rows.is_positive.mean() for measures in assessable]))
    return [*records, summary.resampled("prevalence", value, _mean_prevalence(assessable, draws))]


def _about(taken: Sequence[SplitMeasures], measured: Sequence[SplitMeasures]) -> str:
    return f"mean over {len(taken)} findings, {len(measured) - len(taken)} not assessable; "


def _mean_prevalence(measured: Sequence[SplitMeasures], draws: Draws) -> np.ndarray:
    sums = np.stack(
        [
            image_sums(measures.rows, draws, [measures.rows.is_positive, np.ones(measures.rows.n)])
            for measures in measured
        ]
    )

    def statistic(block: np.ndarray) -> np.ndarray:
        n_positive, n = np.moveaxis(drawn_sums(sums, block), 1, 0)
        return (n_positive / np.where(n > 0, n, np.nan)).mean(axis=0)

    return draws.values(statistic, len(draws.keys) * len(measured))


def mean_auroc_interval(findings: Sequence[Scored], confidence: float) -> Interval:
    """The mean AUROC over findings with DeLong's interval, errors on all images of a patient added up first.

    Findings share their images, and images of one patient are alike: taken for independent, either makes the interval
    too narrow (Obuchowski, Biometrics 53:567-578, 1997).

    Where every finding is ranked without an error DeLong has no variance; then the mean of the findings' own bounds
    stands in, which is wider than needed.
    """
    value, variance = _summed(
        [influences(finding.is_positive, finding.logit, finding.patient_key) for finding in findings], findings
    )
    if variance <= 0.0 or not 0.0 < value < 1.0:
        each = [
            auroc_interval(finding.is_positive, finding.logit, confidence, finding.patient_key) for finding in findings
        ]
        lower, upper = (float(np.mean([getattr(interval, key) for interval in each])) for key in ("lower", "upper"))
        return Interval(value, lower, upper, "mean of the findings' own bounds (DeLong's variance is 0)")
    method = f"DeLong {confidence * 100:g} % by patient, logit scale"
    return logit_scale_interval(value, variance, confidence, method, freedom_of(findings))


def freedom_of(findings: Sequence[Scored]) -> float:
    """Degrees of freedom, 1 or more, of a mean over ``findings``: by the images of each patient, of the finding with
    most images. Infinite where each patient has one image."""
    key = max(findings, key=lambda finding: finding.n).patient_key
    return left_by_clusters(effective_number(images_each(patient_numbers(key))), len(key))


def _summed(aurocs: Sequence[tuple[float, np.ndarray]], findings: Sequence[Scored]) -> tuple[float, float]:
    """Mean of the AUROCs and its variance from contributions summed by patient."""
    patients = np.concatenate([finding.patient_key for finding in findings])
    variance = clustered_variance(np.concatenate([influence for _, influence in aurocs]) / len(aurocs), patients)
    return float(np.mean([value for value, _ in aurocs])), variance


def image_sums(rows: Scored, draws: Draws, columns: Sequence[np.ndarray]) -> np.ndarray:
    """Sums over each patient's images of ``columns``, each ``(n,)``; ``(len(columns), n_patients)``."""
    return patient_sums(draws.places(rows.patient_key), len(draws.keys), columns)

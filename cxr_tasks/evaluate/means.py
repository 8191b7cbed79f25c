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
from cxr_tasks.statistics.calibration import Platt, brier_and_ece, calibration_columns, sigmoid
from cxr_tasks.statistics.delong import influences
from cxr_tasks.statistics.intervals import Interval, logit_scale_interval
from cxr_tasks.statistics.patients import effective_number, images_each, left_by_clusters, patient_numbers
from cxr_tasks.statistics.resampling import Draws, clustered_variance, drawn_sums, patient_sums, percentile_bounds
from cxr_tasks.statistics.scores import Ranking, auroc_of, average_precision_of

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
        """``value`` with percentile bounds of its resamples, or none where most of them are undefined."""
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
            _image_sums(measures.rows, draws, [measures.rows.is_positive, np.ones(measures.rows.n)])
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
    """Degrees of freedom of a mean over ``findings``, by the images of each patient of the one with most images."""
    key = max(findings, key=lambda finding: finding.n).patient_key
    return left_by_clusters(effective_number(images_each(patient_numbers(key))), len(key))


def _summed(found: Sequence[tuple[float, np.ndarray]], findings: Sequence[Scored]) -> tuple[float, float]:
    """Mean of the AUROCs and its variance from contributions summed by patient."""
    patients = np.concatenate([finding.patient_key for finding in findings])
    variance = clustered_variance(np.concatenate([influence for _, influence in found]) / len(found), patients)
    return float(np.mean([value for value, _ in found])), variance


@dataclass(frozen=True, slots=True)
class Decided:
    """The images of one finding on one split with their calibrated logits and served calls."""

    rows: Scored
    logit: np.ndarray
    is_called: np.ndarray

    @classmethod
    def of(cls, rows: Scored, platt: Platt, threshold: float) -> Decided:
        """Called is what has a calibrated probability of ``threshold``, in (0, 1), or more."""
        return cls(rows, platt.logits(rows.logit), platt.probabilities(rows.logit) >= threshold)


def micro_records(decided: Sequence[Decided], split: str, draws: Draws, spec: EvaluateSpec) -> list[MetricRecord]:
    """AUROC, average precision and prevalence over all (image, finding) pairs, ranked by calibrated probability, and
    Brier score and calibration error of all pairs' probabilities before and after calibration.

    Frequent findings weigh most here, and telling a frequent finding from a rare one already counts as skill: read it
    beside the mean, never instead. Calibration errors of different sign in two findings can cancel in a bin of pairs,
    never in the mean. ``n`` counts pairs.
    """
    positive = np.concatenate([decision.rows.is_positive for decision in decided])
    logit = np.concatenate([decision.logit for decision in decided])
    key = np.concatenate([decision.rows.patient_key for decision in decided])
    summary = Summary("micro", split, len(positive), f"pairs of {len(decided)} findings; ", draws, spec)
    value, each = influences(positive, logit, key)
    variance = clustered_variance(each, key)
    places = draws.places(key)
    ranking = Ranking(positive, logit, places)
    raw = np.concatenate([decision.rows.logit for decision in decided])
    gaps = [
        patient_sums(places, len(draws.keys), calibration_columns(positive, sigmoid(scores))) for scores in (raw, logit)
    ]

    def statistic(block: np.ndarray) -> np.ndarray:
        steps = ranking.steps(block)
        n_positive = steps.positives.sum(axis=0)
        n = n_positive + steps.negatives.sum(axis=0)
        calibration = [measure for sums in gaps for measure in brier_and_ece(drawn_sums(sums, block), n)]
        return np.stack([auroc_of(steps), average_precision_of(steps), n_positive / n, *calibration])

    whole = statistic(np.ones((len(draws.keys), 1)))[:, 0]
    values = draws.values(statistic, len(positive))
    n_positive = int(positive.sum())
    if 0.0 < value < 1.0 and variance > 0.0:
        method = f"DeLong {spec.confidence * 100:g} % by patient, logit scale"
        freedom = freedom_of([decision.rows for decision in decided])
        interval = logit_scale_interval(value, variance, spec.confidence, method, freedom)
    else:
        interval = auroc_interval(positive, logit, spec.confidence, key)
    names = ("auroc_patient_bootstrap", "average_precision", "prevalence", *CALIBRATION)
    return [
        summary.record("auroc", interval, n_positive),
        *(summary.resampled(name, float(whole[i]), values[i], n_positive) for i, name in enumerate(names)),
    ]


def served_records(
    decided: Sequence[Decided], split: str, draws: Draws, spec: EvaluateSpec
) -> dict[str, list[MetricRecord]]:
    """Sensitivity, specificity, PPV and F1 of the served decisions, as ``mean`` over findings and as ``micro``."""
    sums = np.stack([_confusion_sums(decision, draws) for decision in decided])

    def statistic(block: np.ndarray) -> np.ndarray:
        counts = drawn_sums(sums, block)
        return np.stack([_shares(counts).mean(axis=1), _shares(counts.sum(axis=0, keepdims=True))[:, 0]])

    whole = statistic(np.ones((len(draws.keys), 1)))[..., 0]
    values = draws.values(statistic, len(draws.keys) * len(decided))
    n_images, n_pairs = max(decision.rows.n for decision in decided), sum(decision.rows.n for decision in decided)
    summaries = (
        Summary("mean", split, n_images, f"mean over {len(decided)} findings; ", draws, spec),
        Summary("micro", split, n_pairs, f"pairs of {len(decided)} findings; ", draws, spec),
    )
    names = ("sensitivity", "specificity", "ppv", "f1")
    return {
        summary.finding: [summary.resampled(name, float(whole[i, j]), values[i, j]) for j, name in enumerate(names)]
        for i, summary in enumerate(summaries)
    }


def _confusion_sums(decision: Decided, draws: Draws) -> np.ndarray:
    positive, called = decision.rows.is_positive, decision.is_called
    return _image_sums(
        decision.rows, draws, [positive & called, ~positive & called, positive & ~called, ~positive & ~called]
    )


def _image_sums(rows: Scored, draws: Draws, columns: Sequence[np.ndarray]) -> np.ndarray:
    return patient_sums(draws.places(rows.patient_key), len(draws.keys), columns)


def _shares(counts: np.ndarray) -> np.ndarray:
    """Sensitivity, specificity, PPV and F1 ``(4, k, b)`` from counts ``(k, 4, b)``; NaN where one divides by 0."""
    tp, fp, fn, tn = np.moveaxis(counts, 1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = [tp / (tp + fn), tn / (tn + fp), tp / (tp + fp), 2 * tp / (2 * tp + fp + fn)]
    return np.stack(shares)

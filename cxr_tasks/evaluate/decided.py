"""What is served of several findings as one number: all (image, finding) pairs in one heap (micro), and decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cxr_tasks.contracts.metrics import MetricRecord
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.means import Summary, freedom_of, image_sums
from cxr_tasks.evaluate.measures import CALIBRATION
from cxr_tasks.evaluate.table import Scored
from cxr_tasks.statistics.auroc_intervals import auroc_interval
from cxr_tasks.statistics.calibration import Platt, brier_and_ece, calibration_columns, sigmoid
from cxr_tasks.statistics.delong import influences
from cxr_tasks.statistics.intervals import logit_scale_interval
from cxr_tasks.statistics.resampling import Draws, clustered_variance, drawn_sums, patient_sums
from cxr_tasks.statistics.scores import Ranking, auroc_of, average_precision_of


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
    return image_sums(
        decision.rows, draws, [positive & called, ~positive & called, positive & ~called, ~positive & ~called]
    )


def _shares(counts: np.ndarray) -> np.ndarray:
    """Sensitivity, specificity, PPV and F1 ``(4, k, b)`` from counts ``(k, 4, b)``; NaN where one divides by 0."""
    tp, fp, fn, tn = np.moveaxis(counts, 1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = [tp / (tp + fn), tn / (tn + fp), tp / (tp + fp), 2 * tp / (2 * tp + fp + fn)]
    return np.stack(shares)

"""Two models on the same test rows: the differences of their AUROCs, of the mean and finding by finding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxr_tasks.contracts.errors import DataDefect, UndefinedMetric
from cxr_tasks.contracts.records import logit_column
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.means import freedom_of
from cxr_tasks.evaluate.table import Scored, scored
from cxr_tasks.statistics.auroc_differences import paired_difference
from cxr_tasks.statistics.delong import influences
from cxr_tasks.statistics.intervals import Interval
from cxr_tasks.statistics.patients import quantile_of
from cxr_tasks.statistics.resampling import Draws, clustered_variance, percentile_bounds
from cxr_tasks.statistics.scores import Ranking, auroc_of


@dataclass(frozen=True, slots=True)
class Pair:
    """One finding's test images, scored by both models."""

    rows: Scored
    """With the candidate's logits."""
    other: np.ndarray
    """The champion's logits of the same images, in their order."""


def paired(candidate: pd.DataFrame, champion: pd.DataFrame, findings: Sequence[str], spec: EvaluateSpec) -> list[Pair]:
    """The test images of each finding that can be assessed, with both models' scores.

    Raises:
        DataDefect: The test rows of the two differ.
        UndefinedMetric: No finding can be assessed.
    """
    candidate = candidate[candidate["split"] == "test"].sort_values("image_id", ignore_index=True)
    champion = champion[champion["split"] == "test"].sort_values("image_id", ignore_index=True)
    if candidate["image_id"].tolist() != champion["image_id"].tolist():
        raise DataDefect("expected both models' scores on the same test images, found other images")
    of_candidate = [scored(candidate, "test", finding) for finding in findings]
    assessable = [rows for rows in of_candidate if not rows.too_few(spec.min_positives)]
    if not assessable:
        raise UndefinedMetric("; ".join(rows.too_few(spec.min_positives) for rows in of_candidate))
    return [Pair(rows, _logits_of(champion, rows)) for rows in assessable]


def mean_auroc_difference(pairs: Sequence[Pair], spec: EvaluateSpec) -> Interval:
    """Mean test AUROC of the candidate less that of the champion, over the findings of ``pairs``.

    The interval is whichever reaches lower of the paired DeLong's, with all images of a patient counted together, and
    the paired patient bootstrap's.
    """
    return min(_delong(pairs, spec), _bootstrap(pairs, spec), key=lambda interval: interval.lower)


def _delong(pairs: Sequence[Pair], spec: EvaluateSpec) -> Interval:
    if len(pairs) == 1:
        (pair,) = pairs
        difference = paired_difference(pair.rows.is_positive, pair.rows.logit, pair.other, pair.rows.patient_key)
        return difference.interval(spec.confidence)
    value, contributions = 0.0, []
    for pair in pairs:
        (mine, of_mine), (theirs, of_theirs) = (
            influences(pair.rows.is_positive, score, pair.rows.patient_key) for score in (pair.rows.logit, pair.other)
        )
        value += (mine - theirs) / len(pairs)
        contributions.append((of_mine - of_theirs) / len(pairs))
    patients = np.concatenate([pair.rows.patient_key for pair in pairs])
    freedom = freedom_of([pair.rows for pair in pairs])
    reach = quantile_of(spec.confidence, freedom) * math.sqrt(
        clustered_variance(np.concatenate(contributions), patients)
    )
    return Interval(value, value - reach, value + reach, f"paired DeLong {spec.confidence * 100:g} %, by patient")


def _bootstrap(pairs: Sequence[Pair], spec: EvaluateSpec) -> Interval:
    patients = np.concatenate([pair.rows.patient_key for pair in pairs])
    draws = Draws.of(patients, spec.bootstrap_samples, spec.bootstrap_seed)
    rankings = []
    for pair in pairs:
        places = draws.places(pair.rows.patient_key)
        rankings.append([Ranking(pair.rows.is_positive, score, places) for score in (pair.rows.logit, pair.other)])

    def difference(block: np.ndarray) -> np.ndarray:
        each = [auroc_of(mine.steps(block)) - auroc_of(other.steps(block)) for mine, other in rankings]
        return np.mean(each, axis=0)

    values = draws.values(difference, max(pair.rows.n for pair in pairs))
    lower, upper = percentile_bounds(values, len(draws.keys), spec.confidence)
    value = float(difference(np.ones((len(draws.keys), 1)))[0])
    return Interval(value, lower, upper, f"paired patient bootstrap {spec.confidence * 100:g} %")


@dataclass(frozen=True, slots=True)
class Regression:
    """Whether the candidate is shown to be worse than the champion for one finding."""

    finding: str
    difference: Interval
    """AUROC of the candidate less that of the champion, paired DeLong by patient."""
    p_value: float
    """One-sided, of the hypothesis that the candidate is worse by no more than the margin."""


def regressions(pairs: Sequence[Pair], margin: float, spec: EvaluateSpec) -> list[Regression]:
    """Per finding the difference, and how well chance explains a loss beyond ``margin``; not adjusted for their number.
    Images of one patient are counted together: the p-values hold their level where patients have many.

    Two models that rank all images of a finding alike have no variance; then the p-value is 1, or 0 beyond the margin.
    """
    worse = []
    for pair in pairs:
        difference = paired_difference(pair.rows.is_positive, pair.rows.logit, pair.other, pair.rows.patient_key)
        worse.append(Regression(pair.rows.finding, difference.interval(spec.confidence), difference.p_below(-margin)))
    return worse


def _logits_of(table: pd.DataFrame, rows: Scored) -> np.ndarray:
    """The table's logits of the images of ``rows``, in their order."""
    return table.set_index("image_id")[logit_column(rows.finding)].loc[rows.image_id].to_numpy(float)

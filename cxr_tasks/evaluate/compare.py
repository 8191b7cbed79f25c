"""Two models on the same test rows: the difference of their mean AUROCs, with its interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cxr_tasks.contracts.errors import DataDefect, UndefinedMetric
from cxr_tasks.contracts.records import logit_column
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.intervals import Interval, auroc_difference
from cxr_tasks.evaluate.resampling import Draws, percentile_bounds
from cxr_tasks.evaluate.scores import Ranking, auroc_of
from cxr_tasks.evaluate.table import Scored, scored


def mean_auroc_difference(
    candidate: pd.DataFrame, champion: pd.DataFrame, findings: Sequence[str], spec: EvaluateSpec
) -> Interval:
    """Mean test AUROC of ``candidate`` less that of ``champion``, over the findings that can be assessed.

    The interval is the patient bootstrap's; with one finding, whichever of it and the paired DeLong interval reaches
    lower, since DeLong takes the images of one patient for independent and the bootstrap is narrow on few images.

    Raises:
        DataDefect: The test rows of the two differ.
        UndefinedMetric: No finding can be assessed.
    """
    candidate = candidate[candidate["split"] == "test"].sort_values("image_id", ignore_index=True)
    champion = champion[champion["split"] == "test"].sort_values("image_id", ignore_index=True)
    if candidate["image_id"].tolist() != champion["image_id"].tolist():
        raise DataDefect("expected both models' scores on the same test images, found other images")
    of_candidate = [scored(candidate, "test", one) for one in findings]
    assessable = [rows for rows in of_candidate if not rows.too_few(spec.min_positives)]
    if not assessable:
        raise UndefinedMetric("; ".join(rows.too_few(spec.min_positives) for rows in of_candidate))
    theirs = [_logits_of(champion, rows) for rows in assessable]
    draws = Draws.of(candidate["patient_key"].to_numpy(str), spec.bootstrap_samples, spec.bootstrap_seed)
    pairs = []
    for rows, other in zip(assessable, theirs, strict=True):
        places = draws.places(rows.patient_key)
        pairs.append([Ranking(rows.is_positive, score, places) for score in (rows.logit, other)])

    def difference(block: np.ndarray) -> np.ndarray:
        each = [auroc_of(mine.steps(block)) - auroc_of(other.steps(block)) for mine, other in pairs]
        return np.mean(each, axis=0)

    values = draws.values(difference, len(candidate))
    lower, upper = percentile_bounds(values, len(draws.keys), spec.confidence)
    value = float(difference(np.ones((len(draws.keys), 1)))[0])
    resampled = Interval(value, lower, upper, f"paired patient bootstrap {spec.confidence * 100:g} %")
    if len(findings) > 1:
        return resampled
    paired = auroc_difference(assessable[0].is_positive, assessable[0].logit, theirs[0], spec.confidence)
    return min(paired, resampled, key=lambda one: one.lower)


def _logits_of(table: pd.DataFrame, rows: Scored) -> np.ndarray:
    """The table's logits of the images of ``rows``, in their order."""
    return table.set_index("image_id")[logit_column(rows.finding)].loc[rows.image_id].to_numpy(float)

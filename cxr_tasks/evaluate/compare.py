"""Two models on the same test rows: the difference of their mean AUROCs, with its interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cxr_tasks.contracts.errors import DataDefect, UndefinedMetric
from cxr_tasks.contracts.records import logit_column
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.intervals import Interval, auroc_difference, patient_bootstrap
from cxr_tasks.evaluate.scores import weighted_auroc
from cxr_tasks.evaluate.table import scored


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
    place = pd.Series(candidate.index.to_numpy(), index=candidate["image_id"])
    where = [place.loc[rows.image_id].to_numpy() for rows in assessable]
    logits = [
        champion[logit_column(rows.finding)].to_numpy(float)[at] for rows, at in zip(assessable, where, strict=True)
    ]

    def difference(weights: np.ndarray) -> np.ndarray:
        each = [
            weighted_auroc(rows.is_positive, rows.logit, weights[:, at])
            - weighted_auroc(rows.is_positive, theirs, weights[:, at])
            for rows, at, theirs in zip(assessable, where, logits, strict=True)
        ]
        return np.mean(each, axis=0)

    lower, upper = patient_bootstrap(
        candidate["patient_key"].to_numpy(str),
        difference,
        confidence=spec.confidence,
        samples=spec.bootstrap_samples,
        seed=spec.bootstrap_seed,
    )
    value = float(difference(np.ones((1, len(candidate))))[0])
    resampled = Interval(value, lower, upper, f"paired patient bootstrap {spec.confidence * 100:g} %")
    if len(findings) > 1:
        return resampled
    paired = auroc_difference(assessable[0].is_positive, assessable[0].logit, logits[0], spec.confidence)
    return min(paired, resampled, key=lambda one: one.lower)

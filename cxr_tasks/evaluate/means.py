"""The mean AUROC over findings: the one number that a gate and a registry compare models by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cxr_tasks.contracts.errors import UndefinedMetric
from cxr_tasks.contracts.metrics import MetricRecord
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.intervals import patient_bootstrap
from cxr_tasks.evaluate.measures import delong_record
from cxr_tasks.evaluate.scores import auroc, weighted_auroc
from cxr_tasks.evaluate.table import Scored


def mean_auroc_records(of_findings: Sequence[Scored], split: str, spec: EvaluateSpec) -> list[MetricRecord]:
    """``auroc`` and ``auroc_patient_bootstrap`` of the unweighted mean over the assessable findings.

    With one finding the first has that finding's DeLong interval; with several both have the patient bootstrap, since
    findings share patients and their intervals cannot be averaged.
    """
    names = ("auroc", "auroc_patient_bootstrap")
    assessable = [rows for rows in of_findings if not rows.too_few(spec.min_positives)]
    n = max((rows.n for rows in of_findings), default=0)
    if not assessable:
        reason = "not assessable: " + "; ".join(rows.too_few(spec.min_positives) for rows in of_findings)
        return [MetricRecord(name=name, finding="mean", split=split, value=None, n=n, reason=reason) for name in names]
    value = float(np.mean([auroc(rows.is_positive, rows.logit) for rows in assessable]))
    n_positive = assessable[0].n_positive if len(of_findings) == 1 else None
    left_out = len(of_findings) - len(assessable)
    about = f"mean over {len(assessable)} findings, {left_out} not assessable; " if len(of_findings) > 1 else ""
    try:
        lower, upper = mean_auroc_bounds(assessable, spec)
    except UndefinedMetric as error:
        reason = f"not assessable: {error}"
        return [MetricRecord(name=name, finding="mean", split=split, value=None, n=n, reason=reason) for name in names]
    method = f"{about}patient bootstrap {spec.confidence * 100:g} %, {spec.bootstrap_samples} resamples"
    records = [
        MetricRecord(
            name=name, finding="mean", split=split, value=value, lower=lower, upper=upper, n=n, n_positive=n_positive,
            method=method,
        )
        for name in names
    ]  # fmt: skip
    if len(of_findings) == 1:
        one = delong_record(assessable[0], spec)
        records[0] = MetricRecord(
            name="auroc", finding="mean", split=split, value=one.value, lower=one.lower, upper=one.upper, n=n,
            n_positive=n_positive, method=one.method,
        )  # fmt: skip
    return records


def mean_auroc_bounds(assessable: Sequence[Scored], spec: EvaluateSpec) -> tuple[float, float]:
    """Percentile bounds of the mean AUROC; one draw of patients serves all findings.

    Images whose target is unknown for a finding weigh nothing there, so the draw is over all patients of the split.
    """
    image_id = np.unique(np.concatenate([rows.image_id for rows in assessable]))
    place = {name: i for i, name in enumerate(image_id)}
    patient = np.empty(len(image_id), dtype=object)
    columns = []
    for rows in assessable:
        where = np.array([place[name] for name in rows.image_id])
        patient[where] = rows.patient_key
        columns.append(where)

    def statistic(weights: np.ndarray) -> np.ndarray:
        each = [
            weighted_auroc(rows.is_positive, rows.logit, weights[:, where])
            for rows, where in zip(assessable, columns, strict=True)
        ]
        return np.mean(each, axis=0)

    return patient_bootstrap(
        patient, statistic, confidence=spec.confidence, samples=spec.bootstrap_samples, seed=spec.bootstrap_seed
    )

"""All numbers of one model from its predictions table: the ``Evaluation`` that becomes ``metrics.json``.

Its parts are told where they are defined, ``contracts.evaluation``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from cxr_tasks.contracts.evaluation.evaluation import Evaluation, SplitCounts, Together
from cxr_tasks.contracts.evaluation.of_finding import MEASURED_SPLITS
from cxr_tasks.contracts.labels import display_name
from cxr_tasks.contracts.serving_contract import FindingDecision
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.decided import micro_records, served_records
from cxr_tasks.evaluate.finding import AssessedFinding, assess_finding
from cxr_tasks.evaluate.means import mean_records
from cxr_tasks.evaluate.subgroups_together import subgroups_together
from cxr_tasks.evaluate.table import check_predictions, rows_sha256, scored
from cxr_tasks.statistics.resampling import Draws

SPLITS = MEASURED_SPLITS


def assess(
    predictions: pd.DataFrame,
    findings: Sequence[str],
    spec: EvaluateSpec,
    index: pd.DataFrame | None = None,
    own: Mapping[str, FindingDecision] | None = None,
) -> Evaluation:
    """Every number of one model; which model that is and what stands beside it is for the caller to add.

    Calibration and thresholds come from validation alone, or, for a model on a dataset it was not trained on, from
    ``own``: its decisions by finding. ``index`` (the prepared dataset's) adds the source's finer labels to the
    subgroups.

    Raises:
        DataDefect: The table's columns or values are not right.
    """
    check_predictions(predictions, findings, "predictions")
    draws = {split: _draws(predictions, split, spec) for split in SPLITS}
    assessed = [
        assess_finding(
            {split: scored(predictions, split, finding) for split in SPLITS}, draws, predictions, spec, index,
            own=own[finding] if own else None,
        )
        for finding in findings
    ]  # fmt: skip
    several = len(findings) > 1
    return Evaluation(
        confidence=spec.confidence,
        findings=tuple(findings),
        rows_sha256=rows_sha256(predictions, findings),
        splits={split: _counts(predictions, split) for split in SPLITS},
        mean={
            split: tuple(mean_records([finding.measures[split] for finding in assessed], split, draws[split], spec))
            for split in SPLITS
        },
        several={split: _several(assessed, split, draws[split], spec, predictions) for split in SPLITS}
        if several
        else {},
        multilabel_report=multilabel_report(assessed, "test") if several else "",
        by_finding={finding.finding: finding.shown for finding in assessed},
        serving={finding.finding: finding.serving for finding in assessed},
    )


def _draws(predictions: pd.DataFrame, split: str, spec: EvaluateSpec) -> Draws:
    patients = predictions.loc[predictions["split"] == split, "patient_key"].to_numpy(str)
    return Draws.of(patients, spec.bootstrap_samples, spec.bootstrap_seed)


def _counts(predictions: pd.DataFrame, split: str) -> SplitCounts:
    rows = predictions[predictions["split"] == split]
    return SplitCounts(n_images=len(rows), n_patients=int(rows["patient_key"].nunique()))


def _several(
    assessed: Sequence[AssessedFinding], split: str, draws: Draws, spec: EvaluateSpec, predictions: pd.DataFrame
) -> Together:
    """Findings taken together: micro ranking, the served decisions as mean and micro, and groups."""
    decided = [finding.decided[split] for finding in assessed if split in finding.decided]
    if not decided:
        return Together(findings=(), micro=(), served={})
    return Together(
        findings=tuple(finding.rows.finding for finding in decided),
        micro=tuple(micro_records(decided, split, draws, spec)),
        served={kind: tuple(records) for kind, records in served_records(decided, split, draws, spec).items()},
        subgroups=subgroups_together(decided, predictions),
    )


def multilabel_report(assessed: Sequence[AssessedFinding], split: str) -> str:
    """scikit-learn's table over all findings at once, at the served decisions, with its micro, macro and weighted rows.

    Only findings that can be assessed, and images whose target is known for all of those: the table needs a matrix
    without holes. Empty where there are not two such findings (one has its own table), or no such image.
    """
    decided = [finding.decided[split] for finding in assessed if finding.shown.assessable]
    if len(decided) < 2:
        return ""
    from sklearn.metrics import classification_report

    columns = [
        pd.DataFrame({"y": finding.rows.is_positive, "call": finding.is_called}, finding.rows.image_id)
        for finding in decided
    ]
    joined = pd.concat(columns, axis=1, join="inner", keys=[finding.rows.finding for finding in decided])
    if joined.empty:
        return ""
    truth, calls = (joined.xs(name, axis=1, level=1).to_numpy(bool) for name in ("y", "call"))
    names = [display_name(finding.rows.finding) for finding in decided]
    return str(classification_report(truth, calls, target_names=names, digits=3, zero_division=0.0))

"""What is told of a model on another dataset: plain values for a table, for JSON and for MLflow."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from cxr_tasks.contracts.evaluation.evaluation import Evaluation
from cxr_tasks.contracts.evaluation.of_finding import FindingEvaluation
from cxr_tasks.contracts.labels import display_name
from cxr_tasks.contracts.metrics import by_name, record_of
from cxr_tasks.contracts.shapes import plain

#: Shares that are shown of the served decision.
DECIDED: tuple[Literal["sensitivity", "specificity"], ...] = ("sensitivity", "specificity")

#: A ``MetricRecord`` as plain values.
PlainRecord = dict[str, Any]


class FindingOutcome(TypedDict):
    """What is told of one finding: its ``Counts``, and how well it is told on this dataset."""

    n: int
    n_positive: int
    n_patients: int | None
    n_unknown: int | None
    by_class: dict[str, Any] | None
    auroc: PlainRecord
    sensitivity: PlainRecord | None
    specificity: PlainRecord | None
    note: str
    """Why there is no AUROC; '' where there is one."""


class Outcome(TypedDict):
    """What is told of an evaluation on another dataset."""

    split: str
    n_images: int
    n_patients: int
    confidence: float
    findings: dict[str, FindingOutcome]
    mean_auroc: PlainRecord
    datasets: dict[str, list[dict[str, Any]]]
    """Finding -> its ``DatasetRow`` on this dataset and on the model's own; empty where the latter is not kept."""
    left_out: dict[str, str]
    """Finding -> why it is left out."""
    remarks: list[dict[str, str]]


class VersionOutcome(Outcome):
    """An outcome, and of which version on which dataset."""

    model: str
    version: int
    trained_on: str
    dataset: str
    fingerprint: str
    seen_in_training: Any
    metrics: str
    """Path of ``metrics.json``."""
    mlflow_run_id: str


def outcome_of(evaluation: Evaluation, split: str, of_model: tuple[str, ...], of_dataset: tuple[str, ...]) -> Outcome:
    """What is told of ``evaluation`` (as ``evaluate_elsewhere`` makes it), JSON-ready: counts, a record per shared
    finding and their mean, each finding's rows on both datasets, and every finding of model or dataset that is left
    out, with the reason."""
    left_out = {
        **{
            finding: f"{display_name(finding)} is not labelled in the dataset"
            for finding in of_model
            if finding not in of_dataset
        },
        **{
            finding: f"{display_name(finding)} is not known to the model"
            for finding in of_dataset
            if finding not in of_model
        },
    }
    counts = evaluation.splits[split]
    return {
        "split": split,
        "n_images": counts.n_images,
        "n_patients": counts.n_patients,
        "confidence": evaluation.confidence,
        "findings": {finding: _finding(evaluation.by_finding[finding], split) for finding in evaluation.findings},
        "mean_auroc": plain(record_of(evaluation.mean[split], "auroc")),
        "datasets": plain(evaluation.datasets.get(split, {})),
        "left_out": left_out,
        "remarks": plain(evaluation.remarks),
    }


def _finding(measured: FindingEvaluation, split: str) -> FindingOutcome:
    auroc, point = record_of(measured.metrics[split], "auroc"), measured.served_point
    decided, counts = by_name(point.on(split).metrics) if point else {}, measured.counts[split]
    return {
        "n": counts.n,
        "n_positive": counts.n_positive,
        "n_patients": counts.n_patients,
        "n_unknown": counts.n_unknown,
        "by_class": plain(counts.by_class),
        "auroc": plain(auroc),
        "sensitivity": plain(decided.get("sensitivity")),
        "specificity": plain(decided.get("specificity")),
        "note": auroc.reason,
    }

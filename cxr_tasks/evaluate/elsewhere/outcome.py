"""What is told of a model on another dataset: plain values for a table, for JSON and for MLflow."""

from __future__ import annotations

from typing import Any

from cxr_tasks.contracts.evaluation.evaluation import Evaluation
from cxr_tasks.contracts.evaluation.of_finding import FindingEvaluation
from cxr_tasks.contracts.labels import display_name
from cxr_tasks.contracts.metrics import by_name, record_of
from cxr_tasks.contracts.shapes import plain

#: Shares that are shown of the served decision.
DECIDED = ("sensitivity", "specificity")


def outcome_of(
    evaluation: Evaluation, split: str, of_model: tuple[str, ...], of_dataset: tuple[str, ...]
) -> dict[str, Any]:
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
    return {
        "split": split,
        **plain(evaluation.splits[split]),
        "confidence": evaluation.confidence,
        "findings": {finding: _finding(evaluation.by_finding[finding], split) for finding in evaluation.findings},
        "mean_auroc": plain(record_of(evaluation.mean[split], "auroc")),
        "datasets": plain(evaluation.datasets.get(split, {})),
        "left_out": left_out,
        "remarks": plain(evaluation.remarks),
    }


def _finding(measured: FindingEvaluation, split: str) -> dict[str, Any]:
    auroc, point = record_of(measured.metrics[split], "auroc"), measured.served_point
    decided = by_name(point.on(split).metrics) if point else {}
    return {
        **plain(measured.counts[split]),
        "auroc": plain(auroc),
        **{name: plain(decided.get(name)) for name in DECIDED},
        "note": auroc.reason,
    }

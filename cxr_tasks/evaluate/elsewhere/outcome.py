"""What is told of a model on another dataset: plain values for a table, for JSON and for MLflow."""

from __future__ import annotations

from typing import Any

from cxr_tasks.contracts.labels import display_name

#: Shares that are shown of the served decision.
DECIDED = ("sensitivity", "specificity")


def outcome_of(
    metrics: dict[str, Any], split: str, of_model: tuple[str, ...], of_dataset: tuple[str, ...]
) -> dict[str, Any]:
    """What is told of ``metrics`` (as ``evaluate_elsewhere`` makes them): counts, a record per shared finding and
    their mean, each finding's rows on both datasets, and every finding of model or dataset that is left out, with the
    reason."""
    shared = metrics["findings"]
    left_out = {
        **{one: f"{display_name(one)} is not labelled in the dataset" for one in of_model if one not in of_dataset},
        **{one: f"{display_name(one)} is not known to the model" for one in of_dataset if one not in of_model},
    }
    return {
        "split": split,
        **metrics["splits"][split],
        "confidence": metrics["confidence"],
        "findings": {one: _finding(metrics["by_finding"][one], split) for one in shared},
        "mean_auroc": next(one for one in metrics["mean"][split] if one["name"] == "auroc"),
        "datasets": metrics["datasets"].get(split, {}),
        "left_out": left_out,
        "remarks": metrics.get("remarks", []),
    }


def _finding(found: dict[str, Any], split: str) -> dict[str, Any]:
    (auroc,) = [one for one in found["metrics"][split] if one["name"] == "auroc"]
    points = [one[split]["metrics"] for one in found["operating_points"].values() if one["served"]]
    decided = {one["name"]: one for records in points for one in records}
    return {
        **found["counts"][split],
        "auroc": auroc,
        **{name: decided.get(name) for name in DECIDED},
        "note": auroc["reason"],
    }

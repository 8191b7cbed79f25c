"""Evaluations with the numbers written out: a test gives what it is about as JSON, and the rest is filled in."""

from __future__ import annotations

from typing import Any

from cxr_tasks.contracts.evaluation.evaluation import Evaluation
from cxr_tasks.contracts.shapes import plain


def make_record(
    name: str, value: Any, lower: Any = None, upper: Any = None, *, finding: str = "pneumonia", split: str = "test",
    **more: Any,
) -> dict[str, Any]:  # fmt: skip
    """A record of 100 images whose interval is its value; without a value it has a reason."""
    lower, upper = (value if end is None else end for end in (lower, upper))
    reason = "" if value is not None else "not assessable"
    given = {"finding": finding, "split": split, "n": 100, "method": "", "reason": reason}
    return {"name": name, "value": value, "lower": lower, "upper": upper, **given, **more}


def make_point(metrics: list[dict[str, Any]], *, served: bool = True, threshold: float = 0.3) -> dict[str, Any]:
    """An operating point with these records on test."""
    counts = dict.fromkeys(("true_positives", "false_positives", "false_negatives", "true_negatives"), 0)
    of_test = {"n": 100, "n_positive": 40, **counts, "metrics": metrics}
    of_validation = {**of_test, "metrics": []}
    return {
        "threshold": threshold,
        "served": served,
        "chosen_on": "validation",
        "validation": of_validation,
        "test": of_test,
    }


def make_finding(**changed: Any) -> dict[str, Any]:
    """``by_finding.<finding>``: nothing is measured but what is given."""
    given = {
        "assessable": True, "reason": "", "counts": {}, "metrics": {}, "calibration": None, "operating_points": {},
        "classification_report": "", "subgroups": [],
    }  # fmt: skip
    return {**given, **changed}


def make_evaluation(by_finding: dict[str, dict[str, Any]] | None = None, **changed: Any) -> Evaluation:
    """Of these findings, each decided by a threshold of 0.3."""
    found = by_finding or {"pneumonia": {}}
    serving = {"a": 1.0, "b": 0.0, "threshold": 0.3, "operating_point": "target_sensitivity", "reason": ""}
    given = {
        "format": 3, "confidence": 0.95, "findings": list(found), "rows_sha256": "0" * 64,
        "splits": {split: {"n_images": 100, "n_patients": 100} for split in ("validation", "test")},
        "mean": {}, "by_finding": {name: make_finding(**one) for name, one in found.items()},
        "serving": dict.fromkeys(found, serving),
    }  # fmt: skip
    return Evaluation.from_json(plain({**given, **changed}))


def make_typicality(**changed: Any) -> dict[str, Any]:
    """``typicality``: fitted, and nothing measured."""
    return {"fit_sha256": "", "reason": "", "n_training": 90, "n_validation": 50, "records": [], **changed}


def json_record(records: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """The record called ``name`` among ``records``, to be changed before they are read."""
    return next(record for record in records if record["name"] == name)

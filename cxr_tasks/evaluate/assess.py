"""All numbers of one model from its predictions table: the content of ``metrics.json``.

::

    format              1
    confidence          of every interval
    findings            names, in the order of the model's outputs
    rows_sha256         which test rows the numbers are about (table.rows_sha256)
    splits.<split>      n_images, n_patients
    mean.<split>        records of the mean AUROC (``auroc``, ``auroc_patient_bootstrap``)
    by_finding.<finding>
      assessable, reason            false where validation or test has too few positives or negatives
      metrics.<split>               records: measures.split_records
      calibration                   method, a, b, note, reliability.<split> (bins for the diagram)
      operating_points.<name>       threshold, served, chosen_on, validation, test (operating_points.measure)
      classification_report         scikit-learn's, test split at the served operating point, as text
      subgroups                     sensitivity and specificity on test by view, sex, finer label
    serving.<finding>   a, b, threshold (probability = sigmoid(a * logit + b); positive from the threshold on),
                        operating_point, reason (why there is no chosen threshold; empty where there is)

A record is a ``contracts.metrics.MetricRecord``. ``evaluate_model`` adds ``model`` (which model, trained on what) and
``baselines`` (baselines.assess_baselines).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from cxr_tasks.contracts.labels import display_name
from cxr_tasks.contracts.shapes import plain
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.calibration import N_BINS, Platt, bins_of, fit_platt, sigmoid
from cxr_tasks.evaluate.intervals import wilson
from cxr_tasks.evaluate.means import mean_auroc_records
from cxr_tasks.evaluate.measures import split_records
from cxr_tasks.evaluate.operating_points import choose_thresholds, measure
from cxr_tasks.evaluate.subgroups import subgroup_rows
from cxr_tasks.evaluate.table import Scored, check_predictions, rows_sha256, scored

SPLITS = ("validation", "test")


def assess(
    predictions: pd.DataFrame, findings: Sequence[str], spec: EvaluateSpec, index: pd.DataFrame | None = None
) -> dict[str, Any]:
    """Every number of one model, JSON-ready; see the module's first lines for its shape.

    Calibration and thresholds come from validation alone. ``index`` (the prepared dataset's) adds the source's
    finer labels to the subgroups.

    Raises:
        DataDefect: The table's columns or values are not right.
    """
    check_predictions(predictions, findings, "predictions")
    by_split = {split: [scored(predictions, split, one) for one in findings] for split in SPLITS}
    by_finding = {
        finding: _assess_finding(by_split["validation"][i], by_split["test"][i], predictions, spec, index)
        for i, finding in enumerate(findings)
    }
    return {
        "format": 1,
        "confidence": spec.confidence,
        "findings": list(findings),
        "rows_sha256": rows_sha256(predictions, findings),
        "splits": {split: _counts(predictions, split) for split in SPLITS},
        "mean": {split: plain(mean_auroc_records(rows, split, spec)) for split, rows in by_split.items()},
        "by_finding": {finding: one["shown"] for finding, one in by_finding.items()},
        "serving": {finding: one["serving"] for finding, one in by_finding.items()},
    }


def served_point(metrics: dict[str, Any], finding: str) -> dict[str, Any] | None:
    """The served operating point of ``finding``; None where none could be chosen."""
    points = metrics["by_finding"][finding]["operating_points"]
    return next((one for one in points.values() if one["served"]), None)


def record_of(records: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    """The record called ``name`` among ``records``; ``KeyError`` names it where there is none."""
    for one in records:
        if one["name"] == name:
            return one
    raise KeyError(name)


def _counts(predictions: pd.DataFrame, split: str) -> dict[str, int]:
    rows = predictions[predictions["split"] == split]
    return {"n_images": len(rows), "n_patients": int(rows["patient_key"].nunique())}


def _assess_finding(
    validation: Scored, test: Scored, predictions: pd.DataFrame, spec: EvaluateSpec, index: pd.DataFrame | None
) -> dict[str, Any]:
    no_choice = validation.too_few(spec.min_positives)
    reason = "; ".join(filter(None, (no_choice, test.too_few(spec.min_positives))))
    platt = None if no_choice else fit_platt(validation.is_positive, validation.logit)
    splits = {"validation": validation, "test": test}
    shown: dict[str, Any] = {
        "assessable": not reason,
        "reason": reason,
        "counts": {
            name: {"n": s.n, "n_positive": s.n_positive, "n_unknown": s.n_unknown} for name, s in splits.items()
        },
        "metrics": {name: plain(split_records(rows, platt, spec)) for name, rows in splits.items()},
        "calibration": None,
        "operating_points": {},
        "classification_report": "",
        "subgroups": [],
    }
    if platt is None:
        # A probability of 0.5 is no choice; the reason travels with it and the gate refuses the model.
        serving = {"a": 1.0, "b": 0.0, "threshold": 0.5, "operating_point": None, "reason": no_choice}
        return {"shown": shown, "serving": serving}
    shown["calibration"] = _calibration(platt, splits, spec)
    thresholds = choose_thresholds(validation.is_positive, platt.logits(validation.logit), spec.target_sensitivity)
    for name, threshold in thresholds.items():
        shown["operating_points"][name] = {
            "threshold": threshold,
            "served": name == spec.served_operating_point,
            "chosen_on": "validation",
            **{split: _measured(rows, platt, threshold, spec) for split, rows in splits.items()},
        }
    threshold = thresholds[spec.served_operating_point]
    is_called = platt.probabilities(test.logit) >= threshold
    shown["classification_report"] = _classification_report(test, is_called)
    shown["subgroups"] = subgroup_rows(test, is_called, predictions, index, spec)
    point = {"operating_point": spec.served_operating_point, "reason": ""}
    return {"shown": shown, "serving": {"a": platt.a, "b": platt.b, "threshold": threshold, **point}}


def _measured(rows: Scored, platt: Platt, threshold: float, spec: EvaluateSpec) -> dict[str, Any]:
    is_called = platt.probabilities(rows.logit) >= threshold
    return measure(rows, is_called, spec)


def _calibration(platt: Platt, splits: dict[str, Scored], spec: EvaluateSpec) -> dict[str, Any]:
    return {
        "method": "Platt scaling fitted on validation",
        "a": platt.a,
        "b": platt.b,
        "note": platt.note,
        "reliability": {
            name: {
                "before": _reliability(rows, sigmoid(rows.logit), spec),
                "after": _reliability(rows, platt.probabilities(rows.logit), spec),
            }
            for name, rows in splits.items()
        },
    }


def _reliability(rows: Scored, probability: np.ndarray, spec: EvaluateSpec) -> list[dict[str, Any]]:
    """Per bin that holds an image: mean probability, share of positives with its Wilson interval, n."""
    bins = []
    number = bins_of(probability)
    for i in range(N_BINS):
        held = number == i
        if held.any():
            share = wilson(int(rows.is_positive[held].sum()), int(held.sum()), spec.confidence)
            bins.append(
                {
                    "mean_probability": float(probability[held].mean()),
                    "share_positive": share.value,
                    "lower": share.lower,
                    "upper": share.upper,
                    "n": int(held.sum()),
                }
            )
    return bins


def _classification_report(rows: Scored, is_called: np.ndarray) -> str:
    """scikit-learn's table as text; empty where the split has no image with a known target."""
    if rows.n == 0:
        return ""
    from sklearn.metrics import classification_report

    name = display_name(rows.finding)
    return str(
        classification_report(
            rows.is_positive, is_called, labels=[False, True], target_names=[f"No {name.lower()}", name], digits=3,
            zero_division=0.0,
        )
    )  # fmt: skip

"""One finding of one model: metrics, calibration, thresholds, subgroups, and what serving takes from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cxr_tasks.contracts.errors import UndefinedMetric
from cxr_tasks.contracts.labels import display_name
from cxr_tasks.contracts.serving_contract import FindingDecision
from cxr_tasks.contracts.shapes import plain
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.decision import Decision, choose_decision
from cxr_tasks.evaluate.means import Decided
from cxr_tasks.evaluate.measures import SplitMeasures, measure_split
from cxr_tasks.evaluate.operating_points import at_raw_half, measure
from cxr_tasks.evaluate.subgroups import subgroup_rows
from cxr_tasks.evaluate.table import Scored
from cxr_tasks.statistics.calibration import N_BINS, bins_of, sigmoid
from cxr_tasks.statistics.patients import class_counts, patient_numbers
from cxr_tasks.statistics.resampling import Draws
from cxr_tasks.statistics.shares import Share


@dataclass(frozen=True, slots=True)
class AssessedFinding:
    """What was found of one finding."""

    finding: str
    shown: dict[str, Any]
    """Its part of ``metrics.json``: ``by_finding.<finding>``."""
    serving: dict[str, Any]
    """``serving.<finding>``."""
    measures: dict[str, SplitMeasures]
    decided: dict[str, Decided]
    """Per split in which it can be assessed, the served calls; empty without a calibration."""


def assess_finding(
    splits: Mapping[str, Scored],
    draws: Mapping[str, Draws],
    predictions: pd.DataFrame,
    spec: EvaluateSpec,
    index: pd.DataFrame | None,
    *,
    own: FindingDecision | None = None,
) -> AssessedFinding:
    """Everything on the finding of ``splits`` (validation and test); chosen on validation, measured on both.

    ``own`` is the decision that a model brings along to another dataset: then nothing is chosen here.
    """
    validation, test = splits["validation"], splits["test"]
    choice, no_choice = None, ""
    try:
        choice = choose_decision(validation, spec, own)
    except UndefinedMetric as error:
        no_choice = str(error)
    reason = "; ".join(filter(None, (no_choice, test.too_few(spec.min_positives))))
    platt = None if choice is None else choice.platt
    # A model that brings its own decision was calibrated on images that are not here.
    fitted_on = None if own else validation
    measures = {split: measure_split(rows, platt, spec, draws[split], fitted_on) for split, rows in splits.items()}
    shown: dict[str, Any] = {
        "assessable": not reason,
        "reason": reason,
        "counts": {
            name: {
                "n": s.n,
                "n_positive": s.n_positive,
                "n_patients": s.n_patients,
                "n_unknown": s.n_unknown,
                "by_class": class_counts(s.is_positive, s.patient_key),
            }
            for name, s in splits.items()
        },
        "metrics": {split: plain(one.records) for split, one in measures.items()},
        "raw_half": {split: plain(at_raw_half(rows, spec)) for split, rows in splits.items()},
        "calibration": None,
        "operating_points": {},
        "unreached_points": {},
        "served_note": "",
        "classification_report": "",
        "subgroups": [],
    }
    if choice is None:
        # A probability of 0.5 is no choice; the reason travels with it and the gate refuses the model.
        serving = {"a": 1.0, "b": 0.0, "threshold": 0.5, "operating_point": None, "reason": no_choice}
        return AssessedFinding(test.finding, shown, serving, measures, {})
    shown["calibration"] = _calibration(choice, splits, spec)
    shown["unreached_points"], shown["served_note"] = choice.unreached, choice.note
    decided = {
        name: {split: Decided.of(rows, choice.platt, threshold) for split, rows in splits.items()}
        for name, threshold in choice.thresholds.items()
    }
    for name, by_split in decided.items():
        shown["operating_points"][name] = {
            "threshold": choice.thresholds[name],
            "served": name == choice.served,
            "chosen_on": choice.chosen_on,
            **{split: measure(one.rows, one.is_called, spec, draws[split]) for split, one in by_split.items()},
        }
    served = decided[choice.served]
    shown["classification_report"] = _classification_report(test, served["test"].is_called)
    shown["subgroups"] = subgroup_rows(test, served["test"].is_called, predictions, index, spec)
    threshold = choice.thresholds[choice.served]
    point = {"operating_point": choice.served, "reason": ""}
    serving = {"a": choice.platt.a, "b": choice.platt.b, "threshold": threshold, **point}
    assessable = {split: one for split, one in served.items() if not one.rows.too_few(spec.min_positives)}
    return AssessedFinding(test.finding, shown, serving, measures, assessable)


def _calibration(choice: Decision, splits: Mapping[str, Scored], spec: EvaluateSpec) -> dict[str, Any]:
    platt = choice.platt
    return {
        "method": f"{platt.method} fitted on {choice.chosen_on}",
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
    """Per bin that holds an image: mean probability, share of positives with its Wilson interval by patient, n."""
    bins, patient = [], patient_numbers(rows.patient_key)
    number = bins_of(probability)
    for i in range(N_BINS):
        held = number == i
        if held.any():
            share = Share.of(rows.is_positive[held], patient[held]).interval(spec.confidence)
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

"""One finding of one model: metrics, calibration, thresholds, subgroups, and what serving takes from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxr_tasks.contracts.errors import UndefinedMetric
from cxr_tasks.contracts.evaluation.of_finding import (
    Calibration,
    Counts,
    FindingEvaluation,
    OperatingPoint,
    Reliability,
    ReliabilityBin,
    ServingValues,
)
from cxr_tasks.contracts.labels import display_name
from cxr_tasks.contracts.serving_contract import FindingDecision
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.decided import Decided
from cxr_tasks.evaluate.decision import Decision, choose_decision
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
    shown: FindingEvaluation
    """Its part of ``metrics.json``."""
    serving: ServingValues
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
    shown = FindingEvaluation(
        assessable=not reason,
        reason=reason,
        counts={split: _counts(rows) for split, rows in splits.items()},
        metrics={split: measured.records for split, measured in measures.items()},
        raw_half={split: at_raw_half(rows, spec) for split, rows in splits.items()},
        calibration=None,
        operating_points={},
        classification_report="",
        subgroups=(),
    )
    if choice is None:
        # A probability of 0.5 is no choice; the reason travels with it and the gate refuses the model.
        serving = ServingValues(a=1.0, b=0.0, threshold=0.5, operating_point=None, reason=no_choice)
        return AssessedFinding(test.finding, shown, serving, measures, {})
    decided = {
        name: {split: Decided.of(rows, choice.platt, threshold) for split, rows in splits.items()}
        for name, threshold in choice.thresholds.items()
    }
    served = decided[choice.served]
    called = served["test"].is_called
    shown = dataclasses.replace(
        shown,
        calibration=_calibration(choice, splits, spec),
        operating_points={name: _point(name, choice, by_split, spec, draws) for name, by_split in decided.items()},
        unreached_points=choice.unreached,
        served_note=choice.note,
        classification_report=_classification_report(test, called),
        subgroups=subgroup_rows(test, called, predictions, index, spec),
    )
    serving = ServingValues(
        a=choice.platt.a, b=choice.platt.b, threshold=choice.thresholds[choice.served], operating_point=choice.served,
        reason="",
    )  # fmt: skip
    assessable = {
        split: decision for split, decision in served.items() if not decision.rows.too_few(spec.min_positives)
    }
    return AssessedFinding(test.finding, shown, serving, measures, assessable)


def _counts(rows: Scored) -> Counts:
    return Counts(
        n=rows.n,
        n_positive=rows.n_positive,
        n_patients=rows.n_patients,
        n_unknown=rows.n_unknown,
        by_class=class_counts(rows.is_positive, rows.patient_key),
    )


def _point(
    name: str, choice: Decision, decided: Mapping[str, Decided], spec: EvaluateSpec, draws: Mapping[str, Draws]
) -> OperatingPoint:
    return OperatingPoint(
        threshold=choice.thresholds[name],
        served=name == choice.served,
        chosen_on=choice.chosen_on,
        **{
            split: measure(decision.rows, decision.is_called, spec, draws[split]) for split, decision in decided.items()
        },
    )


def _calibration(choice: Decision, splits: Mapping[str, Scored], spec: EvaluateSpec) -> Calibration:
    platt = choice.platt
    return Calibration(
        method=f"{platt.method} fitted on {choice.chosen_on}",
        a=platt.a,
        b=platt.b,
        note=platt.note,
        reliability={
            split: Reliability(
                before=_reliability(rows, sigmoid(rows.logit), spec),
                after=_reliability(rows, platt.probabilities(rows.logit), spec),
            )
            for split, rows in splits.items()
        },
    )


def _reliability(rows: Scored, probability: np.ndarray, spec: EvaluateSpec) -> tuple[ReliabilityBin, ...]:
    """Per bin that holds an image: mean probability, share of positives with its Wilson interval by patient, n."""
    bins, patient = [], patient_numbers(rows.patient_key)
    number = bins_of(probability)
    for i in range(N_BINS):
        held = number == i
        if held.any():
            share = Share.of(rows.is_positive[held], patient[held]).interval(spec.confidence)
            bins.append(
                ReliabilityBin(
                    mean_probability=float(probability[held].mean()),
                    share_positive=share.value,
                    lower=share.lower,
                    upper=share.upper,
                    n=int(held.sum()),
                )
            )
    return tuple(bins)


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

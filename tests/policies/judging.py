"""What the shipped policy says to a model drawn for a cohort: through evaluation's own functions and the gate's rules.

Left out of ``evaluate.assess`` is what no rule reads (average precision, F1, micro, curves, texts, AUROCs of groups),
and the bootstrap of AUROCs, for which the interval by patient stands in twice: it takes minutes on 25,596 images.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from cxr_tasks.contracts.evaluation.evaluation import Evaluation, Together
from cxr_tasks.contracts.evaluation.of_finding import (
    Counts,
    FindingEvaluation,
    OperatingPoint,
    PointMeasures,
    ServingValues,
)
from cxr_tasks.contracts.gate_specs import GateSpec
from cxr_tasks.contracts.metrics import MetricRecord, Records
from cxr_tasks.contracts.records import logit_column, target_column
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.calibration_measures import calibration_records
from cxr_tasks.evaluate.decided import Decided
from cxr_tasks.evaluate.decision import Decision, choose_decision
from cxr_tasks.evaluate.means import mean_auroc_interval
from cxr_tasks.evaluate.measures import delong_record
from cxr_tasks.evaluate.operating_points import at_raw_half, proportion_records
from cxr_tasks.evaluate.subgroups import subgroup_rows
from cxr_tasks.evaluate.subgroups_together import subgroups_together
from cxr_tasks.evaluate.table import Scored, rows_sha256
from cxr_tasks.gate.bounds import finding_rules, mean_rules, served_rules
from cxr_tasks.gate.evidence import Evidence, assessable_rules, evidence_rule
from cxr_tasks.gate.slices import slice_rules
from cxr_tasks.gate.stage import Rule, verdict_of
from cxr_tasks.statistics.calibration import Platt, sigmoid
from cxr_tasks.statistics.intervals import Interval
from cxr_tasks.statistics.patients import class_counts, patient_numbers
from tests.policies.cohorts import Cohort, draw

#: What the groups of a finding are told by.
_GROUPED = ["source", "view", "sex", "age_years"]
#: Beyond this many test images the check that metrics and predictions agree is left out: it takes seconds.
FEW = 2_000
#: The decision on one finding, from validation, as a broken model would have it.
Change = Callable[[Decision, Scored], Decision]


def calls_all(decision: Decision, validation: Scored) -> Decision:
    """A threshold that clears one in twenty of the healthy."""
    return _served_at(decision, float(np.quantile(_logits(decision, validation, ill=False), 0.05)))


def calls_none(decision: Decision, validation: Scored) -> Decision:
    """A threshold that finds one in ten of the ill."""
    return _served_at(decision, float(np.quantile(_logits(decision, validation, ill=True), 0.90)))


def odds_times_5(decision: Decision, validation: Scored) -> Decision:
    """Every probability at five times its odds; the threshold goes along, so all calls stay as they are."""
    return _shifted(decision, math.log(5.0))


def odds_by_5(decision: Decision, validation: Scored) -> Decision:
    return _shifted(decision, -math.log(5.0))


def too_extreme(decision: Decision, validation: Scored) -> Decision:
    """Every logit four times as far from the prevalence's: probabilities of nearly 0 and 1. No call changes."""
    centre = float(decision.platt.logits(validation.logit).mean())
    a, b = 4.0 * decision.platt.a, 4.0 * decision.platt.b - 3.0 * centre
    cut = _logit(decision.thresholds[decision.served])
    return _served_at(dataclasses.replace(decision, platt=Platt(a, b)), 4.0 * cut - 3.0 * centre)


def _shifted(decision: Decision, by: float) -> Decision:
    cut = _logit(decision.thresholds[decision.served])
    platt = dataclasses.replace(decision.platt, b=decision.platt.b + by)
    return _served_at(dataclasses.replace(decision, platt=platt), cut + by)


def _served_at(decision: Decision, logit: float) -> Decision:
    threshold = float(np.clip(sigmoid(np.array(logit)), 1e-30, 1.0 - 1e-6))
    return dataclasses.replace(decision, thresholds={decision.served: threshold})


def _logit(probability: float) -> float:
    return math.log(probability / (1.0 - probability))


def _logits(decision: Decision, validation: Scored, *, ill: bool) -> np.ndarray:
    return decision.platt.logits(validation.logit[validation.is_positive == ill])


@dataclasses.dataclass(frozen=True)
class Images:
    """The images of one split, read once for all findings; images and patients by number, which is faster than by name
    and comes to the same."""

    columns: Mapping[str, np.ndarray]
    patient: np.ndarray
    described: pd.DataFrame

    @classmethod
    def of(cls, table: pd.DataFrame, split: str) -> Images:
        rows = table[table["split"] == split]
        numbers = np.arange(len(rows))
        columns = {name: rows[name].to_numpy() for name in rows.columns if name.startswith(("target_", "logit_"))}
        return cls(columns, patient_numbers(rows["patient_key"]), rows[_GROUPED].assign(image_id=numbers))

    def scored(self, split: str, finding: str) -> Scored:
        """As ``evaluate.table.scored``, of a table without unknown targets."""
        return Scored(
            finding=finding, split=split, is_positive=self.columns[target_column(finding)] == 1.0,
            logit=self.columns[logit_column(finding)], patient_key=self.patient, image_id=np.arange(len(self.patient)),
            n_unknown=0,
        )  # fmt: skip


def judged(
    cohort: Cohort, asked: GateSpec, seed: int, *, change: Change | None = None, changed: tuple[str, ...] = (),
    **drawn: Any,
) -> tuple[Rule, ...]:  # fmt: skip
    """The rules on one drawn model; ``change`` is done to the decisions of the findings in ``changed``."""
    table = draw(cohort, seed, **drawn)
    spec = EvaluateSpec(target_sensitivity=cohort.target_sensitivity, bootstrap_samples=100)
    changes = dict.fromkeys(changed, change)
    splits = {name: Images.of(table, name) for name in ("validation", "test")}
    found = {one: _finding(splits, one, spec, changes.get(one)) for one in cohort.findings}
    ranked = [one.rows for one in found.values() if one.shown.assessable]
    decided = [one.decided for one in found.values() if one.decided is not None]
    together = subgroups_together(decided, splits["test"].described) if len(found) > 1 else ()
    mean = mean_auroc_interval(ranked, spec.confidence)
    evaluation = Evaluation(
        confidence=spec.confidence,
        findings=cohort.findings,
        rows_sha256=rows_sha256(table, cohort.findings) if cohort.test[0] <= FEW else "",
        splits={},
        mean={"test": tuple(_mean_record(name, mean, len(table)) for name in ("auroc", "auroc_patient_bootstrap"))},
        several={"test": Together(findings=(), micro=(), served={}, subgroups=together)},
        by_finding={name: one.shown for name, one in found.items()},
        serving={name: one.serving for name, one in found.items()},
    )
    evidence = Evidence(evaluation=evaluation, predictions=table, findings=cohort.findings)
    first = [evidence_rule(evidence, asked, spec)] if cohort.test[0] <= FEW and len(ranked) == len(found) else []
    return (
        *first,
        *assessable_rules(evidence, asked),
        *mean_rules(evidence, asked),
        *finding_rules(evidence, asked),
        *served_rules(evidence, asked),
        *slice_rules(evidence, asked),
    )


def passes(rules: tuple[Rule, ...]) -> bool:
    return verdict_of(rules) == "PASS"


@dataclasses.dataclass(frozen=True)
class JudgedFinding:
    """What the rules read of one finding."""

    rows: Scored
    shown: FindingEvaluation
    serving: ServingValues
    decided: Decided | None = None
    """The served calls, where the finding can be assessed."""


def _finding(splits: Mapping[str, Images], finding: str, spec: EvaluateSpec, change: Change | None) -> JudgedFinding:
    validation, test = (splits[name].scored(name, finding) for name in ("validation", "test"))
    few = validation.too_few(spec.min_positives)
    reason = few or test.too_few(spec.min_positives)
    by_class = class_counts(test.is_positive, test.patient_key)
    shown = FindingEvaluation(
        assessable=not reason, reason=reason, metrics={"test": ()}, calibration=None, operating_points={},
        counts={"test": Counts(n=test.n, n_positive=test.n_positive, by_class=by_class)}, classification_report="",
        subgroups=(),
    )  # fmt: skip
    serving = ServingValues(a=1.0, b=0.0, threshold=0.5, operating_point=None, reason=few)
    if few:
        return JudgedFinding(test, dataclasses.replace(shown, raw_half={"test": at_raw_half(test, spec)}), serving)
    decision = choose_decision(validation, spec)
    if change is not None:
        decision = change(decision, validation)
    threshold = decision.thresholds[decision.served]
    decided = Decided.of(test, decision.platt, threshold)
    records_at = tuple(proportion_records(test, decided.is_called, spec))
    shown = dataclasses.replace(shown, operating_points={decision.served: _point(threshold, records_at)})
    if not reason:
        auroc = delong_record(test, spec)
        records = [auroc, dataclasses.replace(auroc, name="auroc_patient_bootstrap")]
        records += calibration_records(test, decision.platt, spec, validation)
        # So many positives no group has: that leaves out their AUROCs, which no rule reads, and nothing else.
        without_aurocs = dataclasses.replace(spec, min_positives=test.n + 1)
        groups = subgroup_rows(test, decided.is_called, splits["test"].described, None, without_aurocs)
        shown = dataclasses.replace(shown, metrics={"test": tuple(records)}, subgroups=groups)
    serving = dataclasses.replace(serving, threshold=threshold, operating_point=decision.served, reason="")
    return JudgedFinding(test, shown, serving, None if reason else decided)


def _point(threshold: float, records: Records) -> OperatingPoint:
    """Only what the gate reads of it: its threshold, and what it does on test."""
    counts = dict.fromkeys(("true_positives", "false_positives", "false_negatives", "true_negatives"), 0)
    measured = PointMeasures(n=0, n_positive=0, metrics=records, **counts)
    return OperatingPoint(threshold=threshold, served=True, chosen_on="validation", validation=measured, test=measured)


def _mean_record(name: str, one: Interval, n: int) -> MetricRecord:
    return MetricRecord(
        name=name, finding="mean", split="test", value=one.value, lower=one.lower, upper=one.upper, n=n,
        method=one.method,
    )  # fmt: skip

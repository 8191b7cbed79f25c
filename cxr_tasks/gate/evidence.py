"""What the gate decides from, and the rules on the evidence itself: can it be relied on, and is there enough of it?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from cxr_tasks.contracts.evaluation.evaluation import Evaluation
from cxr_tasks.contracts.evaluation.of_finding import FindingEvaluation
from cxr_tasks.contracts.gate_specs import GateSpec
from cxr_tasks.contracts.labels import display_name
from cxr_tasks.contracts.metrics import record_of
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.table import rows_sha256, scored
from cxr_tasks.statistics.scores import auroc

Outcome = Literal["PASS", "FAIL", "NEEDS_HUMAN", "NOT_ASSESSABLE", "NOT_APPLICABLE"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of the gate and what it saw."""

    name: str
    finding: str = ""
    """Empty where the rule is on the model as a whole."""
    outcome: Outcome
    """``NEEDS_HUMAN``: what it compares with is not to be had. ``NOT_ASSESSABLE``: too few images, of a finding that
    the policy does not insist on. ``NOT_APPLICABLE``: there is nothing to compare. Neither is a reason for a pass."""
    sentence: str
    """What was asked and what was found, for a person."""
    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    bound: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a decision is made from; the champion's table is None where there is no champion or it failed."""

    evaluation: Evaluation
    predictions: pd.DataFrame
    findings: tuple[str, ...]
    champion_version: int | None = None
    champion_predictions: pd.DataFrame | None = None
    champion_problem: str = ""
    champion_left_out: frozenset[str] = frozenset()
    """Ids of images that the champion has seen; the two are compared on the others."""
    champion_left_out_why: str = ""

    def of(self, finding: str) -> FindingEvaluation:
        """The finding's part of the evaluation."""
        return self.evaluation.by_finding[finding]


def outcome_of(is_met: bool) -> Outcome:
    return "PASS" if is_met else "FAIL"


def evidence_rule(evidence: Evidence, gate: GateSpec, spec: EvaluateSpec) -> Rule:
    """Metrics and predictions tell of the same rows, findings and AUROCs, and were measured as the policy asks."""
    evaluation, findings = evidence.evaluation, evidence.findings
    stated, sha256 = evaluation.rows_sha256, rows_sha256(evidence.predictions, findings)
    if evaluation.findings != findings:
        problem = f"the metrics are of {', '.join(evaluation.findings)}, the recipe asks for {', '.join(findings)}"
    elif stated != sha256:
        problem = f"the metrics are of the test rows {stated[:12]}, the predictions of {sha256[:12]}"
    else:
        told = [*(_auroc_problem(evidence, finding) for finding in findings), _mean_problem(evidence)]
        problem = "; ".join(filter(None, [*told, _measured_problem(evaluation, gate, spec)]))
    if problem:
        sentence = f"Metrics and predictions cannot be relied on: {problem}. Evaluate the model again."
        return Rule(name="evidence", outcome="FAIL", sentence=sentence)
    n = int((evidence.predictions["split"] == "test").sum())
    sentence = f"Metrics and predictions are unchanged and tell of the same {n} test images."
    return Rule(name="evidence", outcome="PASS", value=float(n), sentence=sentence)


def _measured_problem(evaluation: Evaluation, gate: GateSpec, spec: EvaluateSpec) -> str:
    """A recipe may measure more strictly than the policy asks, never less so."""
    if not evaluation.confidence >= gate.confidence:
        return f"intervals are of {evaluation.confidence:g}, the policy asks for {gate.confidence:g}"
    if spec.target_sensitivity < gate.target_sensitivity:
        asked = f"the policy asks for {gate.target_sensitivity:g}"
        return f"specificity was read off at a sensitivity of {spec.target_sensitivity:g}, {asked}"
    return ""


def _auroc_problem(evidence: Evidence, finding: str) -> str:
    record = record_of(evidence.of(finding).metrics["test"], "auroc")
    if record.value is None:
        return ""
    rows = scored(evidence.predictions, "test", finding)
    value = auroc(rows.is_positive, rows.logit)
    if abs(value - record.value) <= 1e-9:
        return ""
    return f"AUROC of {finding} is stated as {record.value:.6f}, the predictions give {value:.6f}"


def _mean_problem(evidence: Evidence) -> str:
    """The stated mean AUROCs, less those without a number (their floor refuses them), against the findings'."""
    records = [record_of(evidence.of(finding).metrics["test"], "auroc") for finding in evidence.findings]
    each = [record.value for record in records if record.value is not None]
    means = [
        record for record in evidence.evaluation.mean["test"] if record.name in ("auroc", "auroc_patient_bootstrap")
    ]
    stated = [record.value for record in means if record.value is not None and is_number(record.value)]
    wrong = [value for value in stated if not each or abs(value - float(np.mean(each))) > 1e-9]
    return f"mean AUROC is stated as {wrong[0]:.6f}, the findings give {np.mean(each or [np.nan]):.6f}" if wrong else ""


def lacking(evidence: Evidence, gate: GateSpec) -> dict[str, str]:
    """Findings that cannot be assessed -> why: too few test images of a class, or evaluation could not measure them."""
    least, missing = gate.assessable.least_positives, {}
    for finding in evidence.findings:
        positives, negatives = _images(evidence, finding)
        if not evidence.of(finding).assessable:
            missing[finding] = evidence.of(finding).reason
        elif min(positives, negatives) < least:
            missing[finding] = f"test holds {_told(evidence, finding)}; the policy asks for {least} of each"
        elif why := _too_few_patients(evidence, finding, gate.assessable.least_patients):
            missing[finding] = why
    return missing


def _too_few_patients(evidence: Evidence, finding: str, least: int) -> str:
    """Why the images of a class are of too few patients; empty where they are not.

    Many images of few patients tell of those patients. Where one of enough patients has most of the images, every
    interval is as wide as what they are worth together makes it.
    """
    by_class = evidence.of(finding).counts["test"].by_class
    if by_class is None:
        return "metrics.json does not say how many patients its images are of; evaluate the model again"
    for name in ("positive", "negative"):
        if by_class[name].n_patients < least:
            worth = f"worth {by_class[name].n_effective:.1f} with equally many images"
            return (
                f"test holds {_told(evidence, finding)}; the policy asks for {least} patients of each (the {name} ones "
                f"are {worth})"
            )
    return ""


def _told(evidence: Evidence, finding: str) -> str:
    """Images of each class and whose they are."""
    (positives, negatives), by_class = _images(evidence, finding), evidence.of(finding).counts["test"].by_class
    if by_class is None:
        return f"{positives} positive and {negatives} negative images"
    whose = [by_class[name].n_patients for name in ("positive", "negative")]
    return f"{positives} positive images of {whose[0]} patients and {negatives} negative images of {whose[1]} patients"


def assessable_rules(evidence: Evidence, gate: GateSpec) -> list[Rule]:
    """For each finding whether it has enough images, and for all whether enough of them have."""
    without, rules = lacking(evidence, gate), []
    for finding in evidence.findings:
        positives, negatives = _images(evidence, finding)
        outcome, about = outcome_of(True), display_name(finding).lower()
        sentence = f"Of {about} test holds {_told(evidence, finding)}."
        if finding in without:
            matters = gate.assessable.concerns(finding)
            outcome = "FAIL" if matters else "NOT_ASSESSABLE"
            must = "a finding that must be assessed" if matters else "the policy does not insist on it"
            sentence = f"{display_name(finding)} cannot be assessed ({must}): {without[finding]}."
        bound = float(gate.assessable.least_positives)
        rules.append(
            Rule(
                name="assessable", finding=finding, outcome=outcome, sentence=sentence, bound=bound,
                value=float(min(positives, negatives)),
            )
        )  # fmt: skip
    n, others = len(evidence.findings), [finding for finding in without if not gate.assessable.concerns(finding)]
    bound = gate.assessable.others_missing
    is_met = len(without) < n and len(others) <= bound
    sentence = (
        f"{n - len(without)} of {n} findings can be assessed; {len(others)} that the policy does not insist on cannot, "
        f"at most {bound} may."
    )
    whole = Rule(
        name="assessable", outcome=outcome_of(is_met), value=float(len(others)), bound=float(bound), sentence=sentence
    )
    return [whole, *rules]


def _images(evidence: Evidence, finding: str) -> tuple[int, int]:
    counts = evidence.of(finding).counts["test"]
    return counts.n_positive, counts.n - counts.n_positive


def is_number(*values: object) -> bool:
    """Whether all are finite numbers; ``True`` is none."""
    kinds = (int, float, np.integer, np.floating)
    return all(isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value) for value in values)

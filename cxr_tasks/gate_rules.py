"""The rules of the gate: each takes the evidence and says what was asked, what was found and the outcome."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cxr_tasks.contracts.errors import UndefinedMetric
from cxr_tasks.contracts.labels import display_name
from cxr_tasks.contracts.specs import EvaluateSpec, GateSpec
from cxr_tasks.evaluate.compare import mean_auroc_difference
from cxr_tasks.evaluate.scores import auroc
from cxr_tasks.evaluate.table import rows_sha256, scored

PASS, FAIL, NOT_APPLICABLE = "PASS", "FAIL", "NOT_APPLICABLE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of the gate and what it saw."""

    name: str
    outcome: str
    sentence: str
    """What was asked and what was found, for a person."""
    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    bound: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a decision is made from; the champion's table is None where there is no champion or it failed."""

    metrics: dict[str, Any]
    predictions: pd.DataFrame
    findings: tuple[str, ...]
    champion_version: int | None = None
    champion_predictions: pd.DataFrame | None = None
    champion_problem: str = ""


def _outcome(is_met: bool) -> str:
    return PASS if is_met else FAIL


def evidence_rule(evidence: Evidence) -> Rule:
    """Metrics and predictions tell of the same rows, findings and AUROCs."""
    metrics, findings = evidence.metrics, evidence.findings
    stated, found = str(metrics["rows_sha256"]), rows_sha256(evidence.predictions, findings)
    problem = ""
    if tuple(metrics["findings"]) != findings:
        problem = f"the metrics are of {', '.join(metrics['findings'])}, the recipe asks for {', '.join(findings)}"
    elif stated != found:
        problem = f"the metrics are of the test rows {stated[:12]}, the predictions of {found[:12]}"
    else:
        problem = "; ".join(
            filter(None, [*(_auroc_problem(evidence, one) for one in findings), _mean_problem(evidence)])
        )
    if problem:
        sentence = f"Metrics and predictions do not belong together: {problem}. Evaluate the model again."
        return Rule(name="evidence", outcome=FAIL, sentence=sentence)
    n = int((evidence.predictions["split"] == "test").sum())
    sentence = f"Metrics and predictions are unchanged and tell of the same {n} test images."
    return Rule(name="evidence", outcome=PASS, value=float(n), sentence=sentence)


def _auroc_problem(evidence: Evidence, finding: str) -> str:
    (record,) = (one for one in evidence.metrics["by_finding"][finding]["metrics"]["test"] if one["name"] == "auroc")
    if record["value"] is None:
        return ""
    rows = scored(evidence.predictions, "test", finding)
    value = auroc(rows.is_positive, rows.logit)
    if abs(value - record["value"]) <= 1e-9:
        return ""
    return f"AUROC of {finding} is stated as {record['value']:.6f}, the predictions give {value:.6f}"


def _mean_problem(evidence: Evidence) -> str:
    """The stated mean AUROCs, less those without a number (``floor_rule`` refuses them), against the findings'."""
    each = [
        one["value"]
        for finding in evidence.findings
        for one in evidence.metrics["by_finding"][finding]["metrics"]["test"]
        if one["name"] == "auroc" and one["value"] is not None
    ]
    means = [one for one in evidence.metrics["mean"]["test"] if one["name"] in ("auroc", "auroc_patient_bootstrap")]
    stated = [one["value"] for one in means if is_number(one["value"])]
    wrong = [value for value in stated if not each or abs(value - float(np.mean(each))) > 1e-9]
    return f"mean AUROC is stated as {wrong[0]:.6f}, the findings give {np.mean(each or [np.nan]):.6f}" if wrong else ""


def assessable_rule(evidence: Evidence, gate: GateSpec) -> Rule:
    """Enough findings have enough positives and negatives."""
    by_finding, n = evidence.metrics["by_finding"], len(evidence.findings)
    without = [one for one in evidence.findings if not by_finding[one]["assessable"]]
    bound = gate.max_not_assessable
    why = "; ".join(by_finding[one]["reason"] for one in without)
    sentence = f"{n - len(without)} of {n} findings can be assessed; at most {bound} may be missing"
    return Rule(
        name="assessable",
        outcome=_outcome(len(without) <= bound and len(without) < n),
        value=float(len(without)),
        bound=float(bound),
        sentence=f"{sentence}: {why}." if why else f"{sentence}.",
    )


def floor_rule(evidence: Evidence, gate: GateSpec) -> Rule:
    """The lower of the two intervals' lower ends of the mean test AUROC reaches the floor."""
    records = {one["name"]: one for one in evidence.metrics["mean"]["test"]}
    both = [records["auroc"], records["auroc_patient_bootstrap"]]
    bound = gate.auroc_floor
    missing = [one for one in both if not is_number(one["value"], one["lower"], one["upper"])]
    if missing:
        why = missing[0].get("reason") or "a value is missing or not a number"
        sentence = f"There is no test AUROC to judge: {why}."
        return Rule(name="auroc_floor", outcome=FAIL, bound=bound, sentence=sentence)
    least = min(both, key=lambda one: one["lower"])
    is_met = least["lower"] >= bound
    sentence = (
        f"Test AUROC is {interval_text(least)}, {least['method']}: the lower end is "
        f"{'at or above' if is_met else 'below'} the floor of {bound:g}."
    )
    return Rule(name="auroc_floor", outcome=_outcome(is_met), bound=bound, sentence=sentence, **_numbers(least))


def decision_rules(evidence: Evidence, gate: GateSpec) -> list[Rule]:
    """Sensitivity and specificity of the served decision on test, for each finding that can be assessed."""
    floors = {"sensitivity": gate.sensitivity_floor}
    if gate.specificity_floor > 0:
        floors["specificity"] = gate.specificity_floor
    rules = []
    for finding in evidence.findings:
        found = evidence.metrics["by_finding"][finding]
        if not found["assessable"]:
            continue
        (point,) = (one for one in found["operating_points"].values() if one["served"])
        if point["threshold"] != evidence.metrics["serving"][finding]["threshold"]:
            raise KeyError(f"the served threshold of {finding} among its operating points")
        for name, floor in floors.items():
            (record,) = (one for one in point["test"]["metrics"] if one["name"] == name)
            rules.append(_share_rule(finding, record, floor))
    return rules


def _share_rule(finding: str, record: dict[str, Any], floor: float) -> Rule:
    name = f"{record['name']}_floor"
    about = f"{record['name'].capitalize()} of the served decision for {display_name(finding).lower()} on test is"
    if not is_number(record["value"], record["lower"], record["upper"]):
        sentence = f"{about} not known: {record.get('reason') or 'no number was found'}."
        return Rule(name=name, outcome=FAIL, bound=floor, sentence=sentence)
    is_met = record["value"] >= floor
    sentence = f"{about} {interval_text(record)}; at least {floor:g} is asked."
    return Rule(name=name, outcome=_outcome(is_met), bound=floor, sentence=sentence, **_numbers(record))


def champion_rule(evidence: Evidence, gate: GateSpec, spec: EvaluateSpec) -> Rule:
    """Not worse than the champion on the same test rows: non-inferiority by ``champion_margin``."""
    bound = -gate.champion_margin
    if evidence.champion_version is None:
        sentence = "There is no champion yet to compare with."
        return Rule(name="champion", outcome=NOT_APPLICABLE, bound=bound, sentence=sentence)
    named = f"champion version {evidence.champion_version}"
    theirs, problem = evidence.champion_predictions, evidence.champion_problem
    if theirs is None:
        return _no_comparison(named, problem or "its predictions are missing", bound)
    mine_sha256, their_sha256 = (rows_sha256(one, evidence.findings) for one in (evidence.predictions, theirs))
    if mine_sha256 != their_sha256:
        other = f"it was scored on other test rows ({their_sha256[:12]}) than the candidate ({mine_sha256[:12]})"
        return _no_comparison(named, other, bound)
    try:
        one = mean_auroc_difference(evidence.predictions, theirs, evidence.findings, spec)
    except UndefinedMetric as error:
        return _no_comparison(named, str(error), bound)
    is_met = one.lower > bound
    sentence = (
        f"Test AUROC less that of {named} on the same rows is {one.value:+.4f} ({one.lower:+.4f} to {one.upper:+.4f}), "
        f"{one.method}: the lower end is {'above' if is_met else 'not above'} {bound:+g}."
    )
    numbers = {"value": one.value, "lower": one.lower, "upper": one.upper}
    return Rule(name="champion", outcome=_outcome(is_met), bound=bound, sentence=sentence, **numbers)


def _no_comparison(named: str, why: str, bound: float) -> Rule:
    sentence = f"The candidate cannot be compared with {named}: {why}."
    return Rule(name="champion", outcome=FAIL, bound=bound, sentence=sentence)


def is_number(*values: Any) -> bool:
    """Whether all are finite numbers; ``True`` is none."""
    kinds = (int, float, np.integer, np.floating)
    return all(isinstance(one, kinds) and not isinstance(one, bool) and math.isfinite(one) for one in values)


def interval_text(record: dict[str, Any]) -> str:
    return f"{record['value']:.4f} ({record['lower']:.4f} to {record['upper']:.4f}, n = {record['n']})"


def _numbers(record: dict[str, Any]) -> dict[str, float]:
    return {name: float(record[name]) for name in ("value", "lower", "upper")}

"""Rules of the gate on one number each: its value, or an end of its interval, against the policy's bound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cxr_tasks.contracts.gate_specs import Bound, GateSpec
from cxr_tasks.contracts.labels import display_name
from cxr_tasks.contracts.metrics import DECISION_METRICS, FINDING_METRICS, MEAN_METRICS
from cxr_tasks.evaluate.assess import record_of, served_point
from cxr_tasks.gate_evidence import Evidence, Rule, is_number, lacking, outcome_of

_SIDES = {"value": "it", "lower": "its lower end", "upper": "its upper end"}


def mean_rules(evidence: Evidence, gate: GateSpec, note: str = "") -> list[Rule]:
    """Bounds on means over findings; ``note`` says where the AUROC's floor is not the policy's own."""
    records = evidence.metrics["mean"]["test"]
    names = MEAN_METRICS if len(evidence.findings) > 1 else FINDING_METRICS
    return [
        _bound_rule(
            f"mean_{metric}", "", f"{names[metric]} on test", _record(records, metric, bound), bound,
            note if metric == "auroc" else "",
        )
        for metric, bound in gate.mean.items()
    ]  # fmt: skip


def finding_rules(evidence: Evidence, gate: GateSpec) -> list[Rule]:
    """Bounds on each finding that can be assessed."""
    rules, without = [], lacking(evidence, gate)
    for finding in evidence.findings:
        if finding not in without:
            records = evidence.of(finding)["metrics"]["test"]
            for metric, bound in gate.bounds_of(finding).items():
                about = f"{FINDING_METRICS[metric]} of {display_name(finding).lower()} on test"
                rules.append(_bound_rule(metric, finding, about, _record(records, metric, bound), bound))
    return rules


def served_rules(evidence: Evidence, gate: GateSpec) -> list[Rule]:
    """Bounds on the served decision of each finding that can be assessed.

    Where evaluation could measure a finding that has fewer test images than the policy asks for, its sensitivity may
    lie below the floor by chance; it is refused where even the upper end of the interval does.

    Raises:
        KeyError: A finding has no served operating point, or serving would take another threshold than was measured.
    """
    rules, without = [], lacking(evidence, gate)
    for finding in evidence.findings:
        if not evidence.of(finding)["assessable"]:
            continue
        point = served_point(evidence.metrics, finding)
        if point is None or point["threshold"] != evidence.metrics["serving"][finding]["threshold"]:
            raise KeyError(f"the served threshold of {finding} among its operating points")
        if finding in without:
            rules.append(_few_found_rule(finding, record_of(point["test"]["metrics"], "sensitivity"), gate))
            continue
        for metric, bound in gate.served.items():
            about = f"{DECISION_METRICS[metric]} of the served decision for {display_name(finding).lower()} on test"
            record = record_of(point["test"]["metrics"], metric)
            rules.append(_bound_rule(f"served_{metric}", finding, about, record, bound))
    return rules


def _few_found_rule(finding: str, record: dict[str, Any], gate: GateSpec) -> Rule:
    """Whether the served decision surely finds less than it must, of a finding with few test images."""
    limit = gate.served["sensitivity"].limit
    about = f"Sensitivity of the served decision for {display_name(finding).lower()} on test"
    if not is_number(record["value"], record["lower"], record["upper"]):
        return _bound_rule("served_sensitivity", finding, about, record, gate.served["sensitivity"])
    is_met = record["upper"] >= limit
    sentence = (
        f"{about} is {record['value']:.4f} ({record['lower']:.4f} to {record['upper']:.4f}, n = {record['n']}), from "
        f"few images: its upper end is {'at or above' if is_met else 'below'} the floor of {limit:g}."
    )
    numbers = {key: float(record[key]) for key in ("value", "lower", "upper")}
    outcome = outcome_of(is_met)
    return Rule(
        name="served_sensitivity", finding=finding, outcome=outcome, sentence=sentence, bound=limit, **numbers
    )  # fmt: skip


def _record(records: Sequence[dict[str, Any]], metric: str, bound: Bound) -> dict[str, Any] | None:
    """The record that the bound is on; of the AUROC's two intervals the one that reaches lower. None: not measured."""
    names = ("auroc", "auroc_patient_bootstrap") if (metric, bound.side) == ("auroc", "lower") else (metric,)
    try:
        found = [record_of(records, name) for name in names]
    except KeyError:
        return None
    broken = [one for one in found if not is_number(one["value"], one["lower"], one["upper"])]
    return broken[0] if broken else min(found, key=lambda one: one["lower"])


def _bound_rule(
    name: str, finding: str, about: str, record: dict[str, Any] | None, bound: Bound, note: str = ""
) -> Rule:
    limit = bound.limit
    if record is None or not is_number(record["value"], record["lower"], record["upper"]):
        why = "metrics.json does not hold it" if record is None else record.get("reason") or "a number is missing"
        sentence = f"{about} is not known: {why}."
        return Rule(name=name, finding=finding, outcome="FAIL", bound=limit, sentence=sentence)
    found = float(record[bound.side])
    is_met = bound.is_met(found)
    where = ("at or above" if is_met else "below") if bound.is_floor else ("at or below" if is_met else "above")
    kind = "floor" if bound.is_floor else "ceiling"
    method = f", {record['method']}" if record.get("method") else ""
    interval = f"{record['lower']:.4f} to {record['upper']:.4f}, n = {record['n']}"
    sentence = (
        f"{about} is {record['value']:.4f} ({interval}){method}: "
        f"{_SIDES[bound.side]} is {where} the {kind} of {limit:g}{note}."
    )
    numbers = {key: float(record[key]) for key in ("value", "lower", "upper")}
    return Rule(name=name, finding=finding, outcome=outcome_of(is_met), bound=limit, sentence=sentence, **numbers)

"""Rules of the gate on one number each: its value, or an end of its interval, against the policy's bound."""

from __future__ import annotations

import dataclasses

from cxr_tasks.contracts.gate_specs import Bound, GateSpec
from cxr_tasks.contracts.labels import display_name
from cxr_tasks.contracts.metrics import (
    DECISION_METRICS,
    FINDING_METRICS,
    MEAN_METRICS,
    TYPICALITY_METRICS,
    MetricRecord,
    Records,
    by_name,
    record_of,
)
from cxr_tasks.gate.evidence import Evidence, Rule, is_number, lacking, outcome_of

_RAW_HALF = "_at_raw_half"
_SIDES = {"value": "it", "lower": "its lower end", "upper": "its upper end"}


def mean_rules(evidence: Evidence, gate: GateSpec, note: str = "") -> list[Rule]:
    """Bounds on means over findings; ``note`` says where the AUROC's floor is not the policy's own."""
    records = evidence.evaluation.mean["test"]
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
            records = evidence.of(finding).metrics["test"]
            for metric, bound in gate.bounds_of(finding).items():
                about = f"{FINDING_METRICS[metric]} of {display_name(finding).lower()} on test"
                rules.append(_bound_rule(metric, finding, about, _record(records, metric, bound), bound))
    return rules


def typicality_rules(evidence: Evidence, gate: GateSpec) -> list[Rule]:
    """Bounds on how well strange pictures are told; drawn X-rays are not strange to a model that learnt from them."""
    measured, rules = evidence.evaluation.typicality, []
    records = by_name(measured.records) if measured else {}
    for name, bound in gate.typicality.items():
        about, record = TYPICALITY_METRICS[name], records.get(name)
        if record is None and records and name.removeprefix("unusual_") == "phantoms":
            sentence = f"{about}: the model learnt from such pictures, so they are not strange to it."
            rules.append(Rule(name=f"typicality_{name}", outcome="NOT_APPLICABLE", sentence=sentence))
            continue
        if record is None and measured and measured.reason:
            record = MetricRecord(name=name, finding="", split="test", value=None, n=0, reason=measured.reason)
        rules.append(_bound_rule(f"typicality_{name}", "", about, record, bound))
    return rules


def served_rules(evidence: Evidence, gate: GateSpec) -> list[Rule]:
    """Bounds on the served decision of each finding: the threshold that serving takes, on test.

    A finding with fewer test images than the policy asks for may lie on the wrong side of a bound by chance; it is
    refused where its whole interval does. One for which validation gave no threshold is served at an uncalibrated
    probability of 0.5, so that is what is judged: its alarms, as nothing is claimed of what it finds.

    Raises:
        KeyError: A finding that can be assessed has no served operating point, or serving would take another threshold
            than was measured.
    """
    rules, without = [], lacking(evidence, gate)
    for finding in evidence.findings:
        measured = evidence.of(finding)
        point = measured.served_point
        bounds = gate.served_of(finding)
        if point is None and not measured.assessable:
            raw_half = measured.raw_half["test"]
            records = tuple(
                dataclasses.replace(record, name=record.name.removesuffix(_RAW_HALF)) for record in raw_half
            )
            bounds = {name: bound for name, bound in bounds.items() if name == "specificity"}
        elif point is None or point.threshold != evidence.evaluation.serving[finding].threshold:
            raise KeyError(f"the served threshold of {finding} among its operating points")
        else:
            records = point.test.metrics
        for metric, bound in bounds.items():
            about = f"{DECISION_METRICS[metric]} of the served decision for {display_name(finding).lower()} on test"
            record = _record(records, metric, bound)
            if finding in without:
                rules.append(_few_images_rule(f"served_{metric}", finding, about, record, bound))
            else:
                rules.append(_bound_rule(f"served_{metric}", finding, about, record, bound))
    return rules


def _few_images_rule(name: str, finding: str, about: str, record: MetricRecord | None, bound: Bound) -> Rule:
    """Whether the whole interval lies on the wrong side of the bound, of a finding with few test images."""
    numbers = _numbers(record)
    if bound.reaches is not None or record is None or numbers is None:
        rule = _bound_rule(name, finding, about, record, bound)
        is_empty = record is not None and record.value is None and record.n == 0
        return dataclasses.replace(rule, outcome="NOT_ASSESSABLE") if is_empty else rule
    limit, far = bound.limit, "upper" if bound.is_floor else "lower"
    is_met = numbers[far] >= limit if bound.is_floor else numbers[far] <= limit
    where = ("at or above" if is_met else "below") if bound.is_floor else ("at or below" if is_met else "above")
    sentence = (
        f"{about} is {record.value:.4f} ({record.lower:.4f} to {record.upper:.4f}, n = {record.n}), from "
        f"few images: {_SIDES[far]} is {where} the {_kind(bound)} of {limit:g}."
    )
    return Rule(name=name, finding=finding, outcome=outcome_of(is_met), sentence=sentence, bound=limit, **numbers)


def _numbers(record: MetricRecord | None) -> dict[str, float] | None:
    """Value and ends of the interval; None unless all three are numbers."""
    if record is None or not is_number(record.value, record.lower, record.upper):
        return None
    return {name: float(getattr(record, name)) for name in ("value", "lower", "upper")}


def _kind(bound: Bound) -> str:
    return "floor" if bound.is_floor else "ceiling"


def _record(records: Records, metric: str, bound: Bound) -> MetricRecord | None:
    """The record that the bound is on; of the AUROC's two intervals the one that reaches lower. None: not measured."""
    names = ("auroc", "auroc_patient_bootstrap") if (metric, bound.side) == ("auroc", "lower") else (metric,)
    try:
        asked = [record_of(records, name) for name in names]
    except KeyError:
        return None
    broken = [record for record in asked if _numbers(record) is None]
    return broken[0] if broken else min(asked, key=lambda record: record.lower or 0.0)


def _bound_rule(name: str, finding: str, about: str, record: MetricRecord | None, bound: Bound, note: str = "") -> Rule:
    limit = bound.reaches[0] if bound.reaches else bound.limit
    numbers = _numbers(record)
    if record is None or numbers is None:
        why = "metrics.json does not hold it" if record is None else record.reason or "a number is missing"
        sentence = f"{about} is not known: {why}."
        return Rule(name=name, finding=finding, outcome="FAIL", bound=limit, sentence=sentence)
    method = f", {record.method}" if record.method else ""
    seen = f"{about} is {record.value:.4f} ({record.lower:.4f} to {record.upper:.4f}, n = {record.n}){method}"
    if bound.reaches is not None:
        is_met, limit, said = _reached(numbers["lower"], numbers["upper"], *bound.reaches)
    else:
        number = numbers[bound.side]
        is_met = bound.is_met(number)
        where = ("at or above" if is_met else "below") if bound.is_floor else ("at or below" if is_met else "above")
        said = f"{_SIDES[bound.side]} is {where} the {_kind(bound)} of {limit:g}"
    sentence = f"{seen}: {said}{note}."
    return Rule(name=name, finding=finding, outcome=outcome_of(is_met), bound=limit, sentence=sentence, **numbers)


def _reached(lower: float, upper: float, low: float, high: float) -> tuple[bool, float, str]:
    """Whether an interval reaches into a range, the nearer end of the range, and the words."""
    if upper < low:
        return False, low, f"all of its interval lies below {low:g} to {high:g}"
    if lower > high:
        return False, high, f"all of its interval lies above {low:g} to {high:g}"
    nearer = low if abs((lower + upper) / 2.0 - low) <= abs((lower + upper) / 2.0 - high) else high
    return True, nearer, f"its interval reaches into {low:g} to {high:g}"

"""Slice rules on all findings together: is a group served worse, though no one finding shows it by itself?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cxr_tasks.contracts.gate_specs import GateSpec, SlicesSpec
from cxr_tasks.gate.evidence import Evidence, Rule, outcome_of
from cxr_tasks.statistics.intervals import Interval
from cxr_tasks.statistics.stratified import StratifiedDifference


@dataclass(frozen=True, slots=True)
class GroupTogether:
    """A group's gap to all other images, over all findings that can be assessed."""

    gap: str
    name: str
    difference: StratifiedDifference


def groups_together(evidence: Evidence, gate: GateSpec) -> list[GroupTogether]:
    """The groups with enough images and patients in and outside them; none of a model of one finding, or where
    ``metrics.json`` is of before findings were taken together."""
    together = evidence.evaluation.several.get("test")
    spec, rules = gate.slices, []
    for gap in spec.gaps:
        for row in together.subgroups if together else ():
            facts = row.sensitivity if gap == "sensitivity_gap" else row.specificity
            if facts is None or row.by not in spec.by:
                continue
            difference = StratifiedDifference.of_facts(facts)
            if min(difference.n) >= spec.least_images and min(difference.n_patients) >= gate.assessable.least_patients:
                rules.append(GroupTogether(gap, f"{row.by} {row.value}", difference))
    return rules


def together_rules(groups: Sequence[GroupTogether], spec: SlicesSpec, level: float) -> list[Rule]:
    """Per gap the group that is worst; broken where it is worse by more than the bound with an interval below zero.

    ``level`` is what is left of the policy's for these comparisons, all of which hold together (Bonferroni).
    """
    confidence = 1.0 - level if spec.correction == "none" else 1.0 - level / max(len(groups), 1)
    return [
        _rule([group for group in groups if group.gap == gap], spec, confidence, len(groups)) for gap in _gaps(groups)
    ]


def _gaps(groups: Sequence[GroupTogether]) -> list[str]:
    return list(dict.fromkeys(group.gap for group in groups))


def _rule(groups: list[GroupTogether], spec: SlicesSpec, confidence: float, n_compared: int) -> Rule:
    gap, bound = groups[0].gap, spec.gaps[groups[0].gap]
    measured = [(group, group.difference.interval(confidence)) for group in groups]
    broken = [(group, interval) for group, interval in measured if interval.value < -bound and interval.upper < 0.0]
    _, worst = min(broken or measured, key=lambda pair: pair[1].value)
    told = "; ".join(_told(*pair) for pair in broken or [min(measured, key=lambda pair: pair[1].value)])
    sentence = (
        f"{gap.removesuffix('_gap').capitalize()} of the served decisions, all findings together, against all other "
        f"images, worst of {len(groups)} groups: {told}. At most {bound:g} worse is taken as alike, or an interval "
        f"that holds zero ({confidence * 100:.4g} %: {n_compared} comparisons)."
    )
    return Rule(
        name=f"slice_{gap}", outcome=outcome_of(not broken), value=worst.value, lower=worst.lower, upper=worst.upper,
        bound=-bound, sentence=sentence,
    )  # fmt: skip


def _told(group: GroupTogether, interval: Interval) -> str:
    n, patients = group.difference.n, group.difference.n_patients
    return (
        f"{group.name} {interval.value:+.3f} ({interval.lower:+.3f} to {interval.upper:+.3f}, "
        f"{group.difference.n_strata} findings, n = {n[0]} and {n[1]} of {patients[0]} and {patients[1]} patients)"
    )

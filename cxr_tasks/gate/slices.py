"""Slice rules of the gate: is any group of test images served worse than all others?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cxr_tasks.contracts.evaluation.groups import SubgroupRow
from cxr_tasks.contracts.gate_specs import GateSpec, SlicesSpec
from cxr_tasks.contracts.labels import display_name
from cxr_tasks.gate.evidence import Evidence, Rule, lacking, outcome_of
from cxr_tasks.gate.slices_together import groups_together, together_rules
from cxr_tasks.statistics.intervals import Interval
from cxr_tasks.statistics.shares import Comparison, Share


@dataclass(frozen=True, slots=True)
class _Group:
    """One comparison: a group's share of right calls and that of all other images with a known value."""

    finding: str
    gap: str
    name: str
    compared: Comparison


def slice_rules(evidence: Evidence, gate: GateSpec) -> list[Rule]:
    """Per finding and gap the group that is worst, of those with enough images in it and outside it.

    Broken where a group is worse by more than the bound and its interval lies below zero. Intervals are made from the
    shares in ``metrics.json`` as ``evaluate.subgroups`` makes them, by patient, but hold together
    (``SlicesSpec.correction``). A ``metrics.json`` of before patients were counted holds counts of images alone. Where
    findings are also taken together (``gate.slices_together``), each kind has half of the policy's level.
    """
    without = lacking(evidence, gate)
    groups = [
        group
        for finding in evidence.findings
        if finding not in without
        for gap in gate.slices.gaps
        for group in _groups(evidence.of(finding).subgroups, finding, gap, gate.slices)
    ]
    over_findings = groups_together(evidence, gate)
    if not groups and not over_findings:
        by, least = ", ".join(gate.slices.by), gate.slices.least_images
        sentence = f"There are no two groups by {by} with {least} images each to compare."
        return [Rule(name="slices", outcome="NOT_APPLICABLE", sentence=sentence)]
    alone = evidence.evaluation.confidence
    share = _level_of(gate.slices, alone, is_halved=bool(over_findings))
    level = share / max(len(groups), 1)
    together = _confidences(groups, gate.slices, alone, level)
    compared: dict[tuple[str, str], list[_Group]] = {}
    for group in groups:
        compared.setdefault((group.finding, group.gap), []).append(group)
    return [
        *together_rules(over_findings, gate.slices, share),
        *(_rule(some, gate.slices, alone, together, len(groups), level) for some in compared.values()),
    ]


def _level_of(spec: SlicesSpec, alone: float, *, is_halved: bool) -> float:
    """Chance of a wrong refusal that one kind of comparison may have in all; uncorrected, that each of them has."""
    return (1.0 - alone) * (0.5 if is_halved and spec.correction != "none" else 1.0)


def _confidences(
    groups: Sequence[_Group], spec: SlicesSpec, alone: float, level: float
) -> dict[tuple[str, str], float]:
    """Gap and group -> confidence of its intervals, such that all of them hold together.

    ``simes``: a group's findings are taken together (Simes, Biometrika 73:751-754, 1986): where ``k`` of them are worse
    by more than the bound, each with an interval that excludes zero at ``k`` times the level that Bonferroni gives one
    comparison, all ``k`` are shown. A group that is missed is missed in several findings, and no one of them may lie as
    far from zero as one of 250 must. Of a model that is the same for all, any refusal stays as rare as by Bonferroni
    for findings that are independent or go together (Sarkar, Annals of Statistics 26:494-504, 1998).
    """
    families = {(group.gap, group.name): 1 for group in groups}
    if spec.correction == "none":
        return dict.fromkeys(families, alone)
    if spec.correction == "simes":
        for gap, name in families:
            members = [
                group for group in groups if (group.gap, group.name) == (gap, name) and _is_worse(group, spec, alone)
            ]
            for k in range(len(members), 1, -1):
                if sum(_is_worse(member, spec, 1.0 - k * level) for member in members) >= k:
                    families[gap, name] = k
                    break
    return {family: 1.0 - k * level for family, k in families.items()}


def _is_worse(group: _Group, spec: SlicesSpec, confidence: float) -> bool:
    gap = group.compared.difference(confidence)
    return gap.value < -spec.gaps[group.gap] and gap.upper < 0.0


def _groups(rows: Sequence[SubgroupRow], finding: str, gap: str, spec: SlicesSpec) -> Iterator[_Group]:
    measure = gap.removesuffix("_gap")
    for by in spec.by:
        of_property = [row for row in rows if row.by == by]
        for row in of_property:
            compared = _compared(row, of_property, measure)
            if min(compared.one.n, compared.other.n) >= spec.least_images:
                yield _Group(finding, gap, f"{by} {row.value}", compared)


def _compared(row: SubgroupRow, of_property: Sequence[SubgroupRow], measure: str) -> Comparison:
    if row.compared:
        return Comparison.of_facts(row.compared[measure])
    (mine, of), counts = _counts(row, measure), [_counts(group, measure) for group in of_property]
    hits, n = (sum(pair[part] for pair in counts) for part in (0, 1))
    return Comparison(Share.independent(mine, of), Share.independent(hits - mine, n - of))


def _counts(row: SubgroupRow, measure: str) -> tuple[int, int]:
    """Right calls and images of the group with the finding (sensitivity), or without it (specificity)."""
    n, share = row.n_positive, row.sensitivity
    if measure == "specificity":
        n, share = row.n - row.n_positive, row.specificity
    return (0, 0) if share is None else (round(share.value * n), n)


def _rule(
    groups: list[_Group],
    spec: SlicesSpec,
    alone: float,
    together: dict[tuple[str, str], float],
    n_compared: int,
    level: float,
) -> Rule:
    finding, gap = groups[0].finding, groups[0].gap
    bound = spec.gaps[gap]
    measure = f"{gap.removesuffix('_gap').capitalize()} of the served decision for {display_name(finding).lower()}"
    compared = [(group, group.compared.difference(together[group.gap, group.name])) for group in groups]
    broken = [(group, gap) for group, gap in compared if gap.value < -bound and gap.upper < 0.0]
    worst, numbers = min(broken or compared, key=lambda pair: pair[1].value)
    told = "; ".join(_told(group, gap) for group, gap in broken or [(worst, numbers)])
    confidence = together[gap, worst.name]
    counted = f"{n_compared} comparisons"
    if (shown := round((1.0 - confidence) / level)) > 1 and spec.correction == "simes":
        counted += f", {shown} findings of {worst.name} shown together"
    sentence = (
        f"{measure} against all other images, worst of {len(groups)} groups: {told}. At most {bound:g} worse is taken "
        f"as alike, or an interval that holds zero ({confidence * 100:.4g} %: {counted})."
    )
    # What one interval by itself would show is no refusal, and worth a look.
    hints = [
        group.name for group, gap in compared if gap.value < -bound and group.compared.difference(alone).upper < 0.0
    ]
    if hints and not broken:
        sentence += f" By itself, the interval of {', '.join(hints)} lies below zero."
    return Rule(
        name=f"slice_{gap}", finding=finding, outcome=outcome_of(not broken), value=numbers.value, lower=numbers.lower,
        upper=numbers.upper, bound=-bound, sentence=sentence,
    )  # fmt: skip


def _told(group: _Group, gap: Interval) -> str:
    one, other = group.compared.one, group.compared.other
    patients = f" of {one.n_patients} and {other.n_patients} patients" if one.is_clustered or other.is_clustered else ""
    interval = f"{gap.lower:+.3f} to {gap.upper:+.3f}, n = {one.n} and {other.n}{patients}"
    return f"{group.name} {gap.value:+.3f} ({interval})"

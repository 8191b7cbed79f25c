"""Rules of the gate on the champion: not worse than it on the same test rows, of the mean and of any finding."""

from __future__ import annotations

from dataclasses import replace

from cxr_tasks.contracts.errors import DataDefect, UndefinedMetric
from cxr_tasks.contracts.gate_specs import ChampionSpec, GateSpec
from cxr_tasks.contracts.labels import display_name
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.table import rows_sha256
from cxr_tasks.gate.comparison import Pair, mean_auroc_difference, paired, regressions
from cxr_tasks.gate.evidence import Evidence, Rule, lacking, outcome_of
from cxr_tasks.statistics.holm import holm_adjusted


def champion_rules(evidence: Evidence, gate: GateSpec, spec: EvaluateSpec) -> list[Rule]:
    """Non-inferiority of the mean by ``margin``, and no finding shown to be worse by more than ``finding_margin``.

    Without a champion the comparison does not apply. A champion that has no scores, or scores on other rows, leaves it
    to a person: no comparison is not a pass, and says nothing against the candidate.
    """
    bound = -gate.champion.margin
    if evidence.champion_version is None:
        sentence = "There is no champion yet to compare with."
        return [Rule(name="champion", outcome="NOT_APPLICABLE", bound=bound, sentence=sentence)]
    named = f"champion version {evidence.champion_version}"
    theirs, problem = evidence.champion_predictions, evidence.champion_problem
    if theirs is None:
        return [_no_comparison(named, problem or "its predictions are missing", bound)]
    mine, theirs = (
        table[~table["image_id"].isin(evidence.champion_left_out)] for table in (evidence.predictions, theirs)
    )
    mine_sha256, their_sha256 = (rows_sha256(table, evidence.findings) for table in (mine, theirs))
    if mine_sha256 != their_sha256:
        reason = f"it was scored on other test rows ({their_sha256[:12]}) than the candidate ({mine_sha256[:12]})"
        return [_no_comparison(named, reason, bound)]
    try:
        pairs = paired(mine, theirs, evidence.findings, spec)
        without = lacking(evidence, gate)
        enough = [pair for pair in pairs if pair.rows.finding not in without]
        rule = _mean_rule(named, pairs, bound, spec)
        if evidence.champion_left_out_why:
            rule = replace(rule, sentence=f"{rule.sentence} Left out: {evidence.champion_left_out_why}")
        return [rule, *_finding_rules(named, enough, gate.champion, spec)]
    except (DataDefect, UndefinedMetric) as error:
        return [_no_comparison(named, str(error), bound)]


def _mean_rule(named: str, pairs: list[Pair], bound: float, spec: EvaluateSpec) -> Rule:
    difference = mean_auroc_difference(pairs, spec)
    is_met = difference.lower > bound
    sentence = (
        f"Test AUROC less that of {named} on the same rows is {difference.value:+.4f} "
        f"({difference.lower:+.4f} to {difference.upper:+.4f}), {difference.method}: the lower end is "
        f"{'above' if is_met else 'not above'} {bound:+g}."
    )
    return Rule(
        name="champion", outcome=outcome_of(is_met), bound=bound, sentence=sentence, value=difference.value,
        lower=difference.lower, upper=difference.upper,
    )  # fmt: skip


def _finding_rules(named: str, pairs: list[Pair], champion: ChampionSpec, spec: EvaluateSpec) -> list[Rule]:
    """Of a single finding the mean says it all."""
    if len(pairs) < 2:
        return []
    worse = regressions(pairs, champion.finding_margin, spec)
    rules = []
    for comparison, adjusted in zip(worse, holm_adjusted([comparison.p_value for comparison in worse]), strict=True):
        is_met, difference = adjusted > champion.alpha, comparison.difference
        shown = "not shown to be" if is_met else "shown to be"
        sentence = (
            f"Test AUROC of {display_name(comparison.finding).lower()} less that of {named} is {difference.value:+.4f} "
            f"({difference.lower:+.4f} to {difference.upper:+.4f}), {difference.method}: {shown} worse by more than "
            f"{champion.finding_margin:g} (p = {comparison.p_value:.2g}, {adjusted:.2g} after Holm's correction for "
            f"{len(worse)} findings, against {champion.alpha:g})."
        )
        rules.append(
            Rule(
                name="champion_finding", finding=comparison.finding, outcome=outcome_of(is_met), sentence=sentence,
                value=difference.value, lower=difference.lower, upper=difference.upper, bound=-champion.finding_margin,
            )
        )  # fmt: skip
    return rules


def _no_comparison(named: str, why: str, bound: float) -> Rule:
    sentence = f"The candidate cannot be compared with {named}: {why}."
    return Rule(name="champion", outcome="NEEDS_HUMAN", bound=bound, sentence=sentence)

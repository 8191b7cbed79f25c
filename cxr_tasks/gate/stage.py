"""The gate: may this candidate serve? Every rule of the policy with the number it saw, in ``decision.json``.

The verdict is FAIL where any rule fails, else NEEDS_HUMAN where one asks for a person, else PASS. The gate fails
closed: what it cannot read or compute is a FAIL with the reason; a champion without scores is NEEDS_HUMAN, no PASS.

``decision.json``::

    format              2
    model_name
    verdict             PASS, FAIL or NEEDS_HUMAN
    reasons             sentences of the rules that failed, then of those that ask for a person; empty on PASS
    rules               in the order below; each with name, finding ('' for the model as a whole), outcome (PASS, FAIL,
                        NEEDS_HUMAN, NOT_ASSESSABLE, NOT_APPLICABLE), value, lower, upper, bound (numbers or null) and
                        sentence
    remarks             what a reader has to know though it breaks no rule (``contracts.remarks``): name and sentence
    policy, policy_version, policy_sha256, policy_section
                        name, version, sha256 of the file, and which section counted; null where it could not be read
    asked               all settings of that section, null where it could not be read
    gate_floor          null, or {"policy": its floor of the mean AUROC, "run": the one a person set for this run}
    dataset, dataset_fingerprint, rows_sha256, recipe, recipe_sha256, mlflow_run_id, predictions_sha256, metrics_sha256
                        what was judged; fingerprint and rows are '' where metrics.json could not be read
    champion_version    null where there was none

Rules, by name:

- ``policy``: only where the policy cannot be read; then nothing else is asked;
- ``evidence``: the files of the evaluation are there, unchanged, tell of the same rows and AUROCs, and were measured at
  the policy's confidence and target sensitivity;
- ``assessable``: findings have enough positives and negatives of enough patients, those that matter each, and enough
  of all;
- ``mean_<metric>``, ``<metric>``, ``served_<metric>``: bounds on means, on findings, on the served decision; of a
  finding with fewer images than the policy asks for the served decision alone, on the whole of its interval. Of a bound
  that is a range, ``bound`` is its nearer end;
- ``typicality_<name>``: how well pictures that the model was not trained for are told from the test X-rays;
- ``slice_sensitivity_gap``, ``slice_specificity_gap``: no group is served worse than all others (``slices`` where there
  are no groups);
- ``champion``, ``champion_finding``: not worse than the champion on the same test rows.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cxr_tasks.contracts.decision_file import DecisionFile, PolicyFacts
from cxr_tasks.contracts.errors import ConfigurationError, CxrError, DataDefect
from cxr_tasks.contracts.gate_specs import GateSpec
from cxr_tasks.contracts.handoffs.judgement import ChampionEvidence, EvaluatedModel, GateDecision, Verdict
from cxr_tasks.contracts.policies import POLICIES_FOLDER, Policy, load_policy, without_none
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.contracts.remarks import remark_lines
from cxr_tasks.contracts.shapes import plain
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.contracts.text_table import text_table
from cxr_tasks.evaluate.evaluation_file import read_evaluation
from cxr_tasks.evaluate.table import read_predictions
from cxr_tasks.gate.bounds import finding_rules, mean_rules, served_rules, typicality_rules
from cxr_tasks.gate.champion import champion_rules
from cxr_tasks.gate.evidence import Evidence, Rule, assessable_rules, evidence_rule
from cxr_tasks.gate.slices import slice_rules
from cxr_tasks.installation.storage.files import reference_to, verified_path, write_json
from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.installation.storage.space import MIB, room_for

log = logging.getLogger(__name__)


@room_for("writing the decision of the gate", MIB)
def gate_candidate(
    evaluated: EvaluatedModel,
    recipe: Recipe,
    champion: ChampionEvidence | None,
    paths: RunPaths,
    policies: Path = POLICIES_FOLDER,
) -> GateDecision:
    """The decision on one candidate; ``decision.json`` is left under the run's ``gate`` folder in every case, and a
    table of all rules in the task's log.

    ``champion`` is None where no champion exists yet; then the comparison does not apply.
    """
    policy, section, asked, measured = None, "", None, None
    try:
        policy = load_policy(recipe.model_name, policies)
        section, asked = policy.section_for(recipe.dataset.name)
        evidence = _evidence(evaluated, recipe, champion)
        measured = evidence.evaluation
        rules = decide(evidence, asked, recipe.evaluate, recipe.gate_floor)
    except ConfigurationError as error:
        rules = (Rule(name="policy", outcome="FAIL", sentence=f"The policy cannot be read: {error}."),)
    except (CxrError, OSError) as error:
        rules = (Rule(name="evidence", outcome="FAIL", sentence=f"The evaluation cannot be relied on: {error}."),)
    remarks = tuple(dict.fromkeys(measured.remarks)) if measured else ()
    decision: DecisionFile = {
        "format": 2,
        "model_name": evaluated.model_name,
        "verdict": verdict_of(rules),
        "reasons": reasons_of(rules),
        "rules": plain(rules),
        "remarks": plain(remarks),
        **_policy_facts(policy, section, asked),
        "gate_floor": _override(recipe, asked),
        "dataset": recipe.dataset.name,
        "dataset_fingerprint": (measured.model.dataset_fingerprint or "") if measured else "",
        "rows_sha256": measured.rows_sha256 if measured else "",
        "recipe": recipe.name,
        "recipe_sha256": recipe.sha256,
        "mlflow_run_id": evaluated.mlflow_run_id,
        "predictions_sha256": evaluated.predictions.sha256,
        "metrics_sha256": evaluated.metrics.sha256,
        "champion_version": None if champion is None else champion.version,
    }
    path = paths.stage("gate") / "decision.json"
    write_json(path, decision)
    table = [rules_table(rules), *remark_lines(remarks)]
    log.info("%s: %s\n%s", evaluated.model_name, decision["verdict"], "\n".join(table))
    return GateDecision(
        model_name=evaluated.model_name,
        verdict=verdict_of(rules),
        reasons=tuple(reasons_of(rules)),
        decision=reference_to(path),
        champion_version=None if champion is None else champion.version,
        dataset_fingerprint=str(decision["dataset_fingerprint"]),
        policy="" if policy is None else f"{policy.name} {policy.version}",
        policy_sha256="" if policy is None else policy.sha256,
        gate_floor=_override(recipe, asked),
    )


def decide(
    evidence: Evidence, asked: GateSpec, evaluate: EvaluateSpec, gate_floor: float | None = None
) -> tuple[Rule, ...]:
    """All rules with what each saw. Reads and writes no file; the same evidence gives the same rules.

    ``gate_floor`` stands in place of the policy's floor of the mean AUROC.
    """
    gate = asked.with_floor(gate_floor)
    note = "" if gate_floor is None else f" set for this run (the policy asks for {asked.auroc_floor:g})"
    try:
        of_evidence = evidence_rule(evidence, gate, evaluate)
        if evidence.evaluation.findings != evidence.findings:
            return (of_evidence,)  # the other rules have nothing to ask of findings that were not measured
        return (
            of_evidence,
            *assessable_rules(evidence, gate),
            *mean_rules(evidence, gate, note),
            *finding_rules(evidence, gate),
            *served_rules(evidence, gate),
            *typicality_rules(evidence, gate),
            *slice_rules(evidence, gate),
            *champion_rules(evidence, gate, evaluate),
        )
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        fault = f"{type(error).__name__}: {error}"
        sentence = f"metrics.json does not hold what the gate reads ({fault}); evaluate the model again."
        return (Rule(name="evidence", outcome="FAIL", sentence=sentence),)


def verdict_of(rules: Sequence[Rule]) -> Verdict:
    """FAIL before NEEDS_HUMAN before PASS; no rules are no pass."""
    outcomes = {rule.outcome for rule in rules}
    if not rules or "FAIL" in outcomes:
        return "FAIL"
    return "NEEDS_HUMAN" if "NEEDS_HUMAN" in outcomes else "PASS"


def reasons_of(rules: Sequence[Rule]) -> list[str]:
    """The sentences of the rules that failed, then of those that ask for a person."""
    return [rule.sentence for outcome in ("FAIL", "NEEDS_HUMAN") for rule in rules if rule.outcome == outcome]


def rules_table(rules: Sequence[Rule]) -> str:
    """One line per rule as a text table, in their order; then the sentence of each that is not a plain PASS."""
    columns = ["rule", "finding", "outcome", "value", "lower", "upper", "bound"]
    rows = [[rule.name, rule.finding, rule.outcome, rule.value, rule.lower, rule.upper, rule.bound] for rule in rules]
    told = [f"{rule.outcome} {rule.name}: {rule.sentence}" for rule in rules if rule.outcome != "PASS"]
    return "\n".join([text_table(columns, rows), *told])


def _evidence(evaluated: EvaluatedModel, recipe: Recipe, champion: ChampionEvidence | None) -> Evidence:
    evaluation = read_evaluation(evaluated)
    predictions = read_predictions(verified_path(evaluated.predictions), recipe.findings)
    evidence = Evidence(evaluation=evaluation, predictions=predictions, findings=recipe.findings)
    if champion is None:
        return evidence
    evidence = replace(evidence, champion_version=champion.version)
    if champion.predictions is None:
        return replace(evidence, champion_problem=champion.reason)
    try:
        table = read_predictions(champion.predictions, recipe.findings)
    except DataDefect as error:
        return replace(evidence, champion_problem=str(error))
    return replace(
        evidence, champion_predictions=table, champion_left_out=champion.left_out,
        champion_left_out_why=champion.left_out_why,
    )  # fmt: skip


def _policy_facts(policy: Policy | None, section: str, asked: GateSpec | None) -> PolicyFacts:
    if policy is None or asked is None:
        return {
            "policy": None,
            "policy_version": None,
            "policy_sha256": None,
            "policy_section": None,
            "asked": None,
        }
    return {
        "policy": policy.name,
        "policy_version": policy.version,
        "policy_sha256": policy.sha256,
        "policy_section": section,
        "asked": without_none(plain(asked)),
    }


def _override(recipe: Recipe, asked: GateSpec | None) -> dict[str, float | None] | None:
    if recipe.gate_floor is None:
        return None
    return {"policy": None if asked is None else asked.auroc_floor, "run": recipe.gate_floor}

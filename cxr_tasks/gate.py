"""The gate: may this candidate serve? Every rule with the number it saw, written to ``decision.json``.

Rules, each PASS or FAIL (or NOT_APPLICABLE, which is never the reason for a pass):

- ``evidence``: the files of the evaluation are there, unchanged, and tell of the same rows and AUROCs;
- ``assessable``: no more findings than ``max_not_assessable`` lack positives or negatives;
- ``auroc_floor``: the lower end of the interval of the mean test AUROC, the smaller of DeLong's and the patient
  bootstrap's, is at or above the floor;
- ``sensitivity_floor``, ``specificity_floor``: the served decision finds at least that share on test, per finding;
- ``champion``: not worse than the champion on the same test rows. Non-inferiority: the lower end of the interval of
  (candidate - champion) lies above ``-champion_margin``; the smaller of the paired DeLong's and the patient
  bootstrap's. A champion that could not be scored, or on other rows, is a FAIL: no comparison is not a pass.

The gate fails closed: what it cannot read or compute is a FAIL with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_tasks.contracts.artifacts import ArtifactRef, read_json, sha256_json, write_json
from cxr_tasks.contracts.errors import CxrError, DataDefect
from cxr_tasks.contracts.handoffs import EvaluatedModel, GateDecision, Verdict
from cxr_tasks.contracts.paths import RunPaths
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.contracts.shapes import plain
from cxr_tasks.contracts.specs import EvaluateSpec, GateSpec
from cxr_tasks.evaluate.table import read_predictions
from cxr_tasks.gate_rules import (
    FAIL,
    Evidence,
    Rule,
    assessable_rule,
    champion_rule,
    decision_rules,
    evidence_rule,
    floor_rule,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChampionEvidence:
    """The champion's scores on the candidate's test rows, or why there are none."""

    version: int
    predictions: Path | None = None
    """Parquet table with the columns of ``contracts.records``."""
    reason: str = ""
    """Why the champion could not be scored; exactly when ``predictions`` is None."""

    def __post_init__(self) -> None:
        if (self.predictions is None) != bool(self.reason):
            raise ValueError(f"champion {self.version}: predictions or a reason is expected, found both or neither")


def gate_candidate(
    evaluated: EvaluatedModel, recipe: Recipe, champion: ChampionEvidence | None, paths: RunPaths
) -> GateDecision:
    """The decision on one candidate; ``decision.json`` is left under the run's ``gate`` folder in every case.

    ``champion`` is None where no champion exists yet; then the comparison does not apply.
    """
    try:
        rules = decide(_evidence(evaluated, recipe, champion), recipe.gate, recipe.evaluate)
    except CxrError as error:
        rules = (Rule(name="evidence", outcome=FAIL, sentence=f"The evaluation cannot be relied on: {error}."),)
    reasons = tuple(rule.sentence for rule in rules if rule.outcome == FAIL)
    verdict: Verdict = "PASS" if rules and not reasons else "FAIL"
    path = paths.stage("gate") / "decision.json"
    write_json(
        path,
        {
            "model_name": evaluated.model_name,
            "verdict": verdict,
            "reasons": list(reasons),
            "rules": plain(rules),
            "policy": plain(recipe.gate),
            "policy_sha256": sha256_json(plain(recipe.gate)),
            "recipe_sha256": recipe.sha256,
            "mlflow_run_id": evaluated.mlflow_run_id,
            "predictions_sha256": evaluated.predictions.sha256,
            "metrics_sha256": evaluated.metrics.sha256,
            "champion_version": None if champion is None else champion.version,
        },
    )
    return GateDecision(
        model_name=evaluated.model_name,
        verdict=verdict,
        reasons=reasons,
        decision=ArtifactRef.of(path),
        champion_version=None if champion is None else champion.version,
    )


def _evidence(evaluated: EvaluatedModel, recipe: Recipe, champion: ChampionEvidence | None) -> Evidence:
    metrics = read_json(evaluated.metrics.verified_path())
    predictions = read_predictions(evaluated.predictions.verified_path(), recipe.findings)
    if not isinstance(metrics, dict):
        raise DataDefect(f"{evaluated.metrics.uri}: expected a JSON object, found {type(metrics).__name__}")
    found: dict[str, Any] = {"metrics": metrics, "predictions": predictions, "findings": recipe.findings}
    if champion is None:
        return Evidence(**found)
    if champion.predictions is None:
        return Evidence(**found, champion_version=champion.version, champion_problem=champion.reason)
    try:
        table = read_predictions(champion.predictions, recipe.findings)
    except DataDefect as error:
        return Evidence(**found, champion_version=champion.version, champion_problem=str(error))
    return Evidence(**found, champion_version=champion.version, champion_predictions=table)


def decide(evidence: Evidence, gate: GateSpec, evaluate: EvaluateSpec) -> tuple[Rule, ...]:
    """All rules with what each saw. Reads and writes no file; the same evidence gives the same rules."""
    try:
        return (
            evidence_rule(evidence),
            assessable_rule(evidence, gate),
            floor_rule(evidence, gate),
            *decision_rules(evidence, gate),
            champion_rule(evidence, gate, evaluate),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        found = f"{type(error).__name__}: {error}"
        sentence = f"metrics.json does not hold what the gate reads ({found}); evaluate the model again."
        return (Rule(name="evidence", outcome=FAIL, sentence=sentence),)

"""Register a candidate that passed its gate, and make it champion."""

from __future__ import annotations

import logging

from cxr_tasks.contracts.artifacts import read_json
from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.handoffs import EvaluatedModel, GateDecision, PreparedDataset, RegisteredModel, TrainedModel
from cxr_tasks.contracts.paths import RunPaths
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.contracts.serving_contract import FindingDecision, ServingContract
from cxr_tasks.registry import tracking, versions

logger = logging.getLogger(__name__)


def record_decision(decision: GateDecision, run_id: str) -> None:
    """Write a verdict, its reasons and ``decision.json`` on the candidate's MLflow run, where people look for it."""
    log = tracking.RunLog(tracking.client(), run_id)
    with tracking.outside_failures("MLflow"):
        log.tags({"gate.verdict": decision.verdict, "gate.reasons": " | ".join(decision.reasons)})
        log.artifact(decision.decision.verified_path(), "gate")


def register_candidate(
    trained: TrainedModel,
    evaluated: EvaluatedModel,
    decision: GateDecision,
    prepared: PreparedDataset,
    recipe: Recipe,
    paths: RunPaths,
) -> RegisteredModel:
    """Make a version of the candidate, with alias ``challenger``.

    Raises:
        DataDefect: The verdict is not PASS, or was made for another model file than the one given.
    """
    if decision.verdict != "PASS":
        raise DataDefect(
            f"{recipe.model_name}: expected the verdict PASS, found {decision.verdict}; nothing was registered"
        )
    metrics = read_json(evaluated.metrics.verified_path())
    contract = serving_contract(metrics, prepared, recipe)
    number = versions.register(
        model_name=recipe.model_name,
        run_id=trained.mlflow_run_id,
        model_path=trained.model.verified_path(),
        contract=contract,
        tags={
            "gate.verdict": decision.verdict,
            "gate.decision_sha256": decision.decision.sha256,
            "data.name": prepared.dataset,
            "data.fingerprint": prepared.fingerprint,
            "recipe.name": recipe.name,
            "recipe.sha256": recipe.sha256,
            "model.sha256": trained.model.sha256,
            "test_auroc": _shown(evaluated.test_auroc),
            "test_auroc_lower": _shown(evaluated.test_auroc_lower),
            "test_auroc_upper": _shown(evaluated.test_auroc_upper),
        },
        work=paths.stage("register"),
    )
    versions.set_alias(recipe.model_name, versions.CHALLENGER, number)
    log = tracking.RunLog(tracking.client(), trained.mlflow_run_id)
    log.tags({"gate.verdict": decision.verdict, "registry.version": number})
    logger.info("%s version %d registered, alias %s", recipe.model_name, number, versions.CHALLENGER)
    return RegisteredModel(
        model_name=recipe.model_name, version=number, mlflow_run_id=trained.mlflow_run_id, alias=versions.CHALLENGER
    )


def promote(registered: RegisteredModel) -> RegisteredModel:
    """Move alias ``champion`` to a version that bears ``challenger``; the release follows the champion."""
    versions.set_alias(registered.model_name, versions.CHAMPION, registered.version)
    logger.info("%s version %d is champion", registered.model_name, registered.version)
    return RegisteredModel(
        model_name=registered.model_name,
        version=registered.version,
        mlflow_run_id=registered.mlflow_run_id,
        alias=versions.CHAMPION,
    )


def serving_contract(metrics: dict, prepared: PreparedDataset, recipe: Recipe) -> ServingContract:
    """What the version's logits mean: calibration and thresholds as evaluation fitted them on validation."""
    fitted = metrics.get("serving", {})
    missing = [finding for finding in recipe.findings if finding not in fitted]
    if missing:
        raise DataDefect(
            "metrics.json: expected calibration and threshold of every finding, found none of " + ", ".join(missing)
        )
    decisions = tuple(
        FindingDecision(
            finding=finding, a=fitted[finding]["a"], b=fitted[finding]["b"], threshold=fitted[finding]["threshold"]
        )
        for finding in recipe.findings
    )
    return ServingContract(
        model_name=recipe.model_name,
        pixels=recipe.pixels,
        decisions=decisions,
        dataset=prepared.dataset,
        dataset_fingerprint=prepared.fingerprint,
        recipe=recipe.name,
        recipe_sha256=recipe.sha256,
    )


def _shown(value: float | None) -> str:
    return "not assessable" if value is None else f"{value:.4f}"

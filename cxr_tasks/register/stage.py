"""Register a candidate that its gate did not refuse."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.evaluation.evaluation import Evaluation
from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
from cxr_tasks.contracts.handoffs.judgement import EvaluatedModel, GateDecision
from cxr_tasks.contracts.handoffs.release import RegisteredModel
from cxr_tasks.contracts.handoffs.training import TrainedModel
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.contracts.serving_contract import FindingDecision, ServingContract, TypicalityFit
from cxr_tasks.contracts.shapes import build
from cxr_tasks.datasets.latest import stored_pixels
from cxr_tasks.evaluate.evaluation_file import read_evaluation
from cxr_tasks.installation.storage.files import read_json, verified_path
from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.installation.storage.space import MIB, room_for
from cxr_tasks.registry import tracking, version_files, versions
from cxr_tasks.registry.audit import trail
from cxr_tasks.registry.model_files import MODEL_TAG, FileDigests, recorded_digests
from cxr_tasks.registry.run_log import RunLog
from cxr_tasks.registry.version_files import write_contract

logger = logging.getLogger(__name__)

#: Of the reasons in a tag; MLflow keeps at most 8000 characters. All of them stand in ``decision.json``.
TAG_LENGTH = 5000


def record_decision(decision: GateDecision, run_id: str, who: str | trail.Person = "airflow") -> None:
    """Write a verdict, its reasons and ``decision.json`` on the candidate's MLflow run, and into the audit log."""
    log = RunLog(tracking.client(), run_id)
    with tracking.outside_failures("MLflow"):
        log.tags(gate_tags(decision))
        log.artifact(verified_path(decision.decision), "gate")
    _record_once("verdict", decision, None, who, {"mlflow_run_id": run_id}, why="; ".join(decision.reasons))


def _record_once(
    kind: Literal["verdict", "registered"],
    decision: GateDecision,
    version: int | None,
    who: str | trail.Person,
    detail: dict[str, str],
    why: str = "",
) -> None:
    """An entry in the audit log; none where a task that is tried again has written it before."""
    told: dict[str, Any] = {"verdict": decision.verdict, "decision_sha256": decision.decision.sha256, **detail}
    if decision.gate_floor is not None:
        told["gate_floor"] = decision.gate_floor
    for entry in trail.entries(decision.model_name):
        if (entry.kind, entry.version, dict(entry.detail)) == (kind, version, told):
            return
    trail.record(
        kind,
        model=decision.model_name,
        version=version,
        who=who,
        why=why,
        fingerprint=decision.dataset_fingerprint,
        detail=told,
    )


def gate_tags(decision: GateDecision) -> dict[str, str]:
    """The decision as tags, the same on the MLflow run and on the version made of it."""
    return {
        "gate.verdict": decision.verdict,
        # Written in every case, so that a verdict reached anew takes the mark of the one before away.
        "gate.floor": "" if decision.gate_floor is None else json.dumps(decision.gate_floor),
        "gate.reasons": " | ".join(decision.reasons)[:TAG_LENGTH],
        "gate.policy": decision.policy,
        "gate.policy_sha256": decision.policy_sha256,
        "gate.decision_sha256": decision.decision.sha256,
    }


@room_for("registering", 32 * MIB)
def register_candidate(
    trained: TrainedModel,
    evaluated: EvaluatedModel,
    decision: GateDecision,
    prepared: PreparedDataset,
    recipe: Recipe,
    paths: RunPaths,
    who: str | trail.Person = "airflow",
) -> RegisteredModel:
    """Make a version of the candidate, with alias ``challenger`` on PASS and with none on NEEDS_HUMAN.

    Raises:
        DataDefect: The verdict is FAIL, or was made for another model file than the one given.
    """
    if decision.verdict not in ("PASS", "NEEDS_HUMAN"):
        raise DataDefect(
            f"{recipe.model_name}: expected the verdict PASS or NEEDS_HUMAN, found {decision.verdict}; nothing was "
            "registered"
        )
    if trained.dataset_fingerprint != prepared.fingerprint:
        raise DataDefect(
            f"{recipe.model_name}: expected the dataset that it was trained on, {trained.dataset_fingerprint[:12]}..., "
            f"found {prepared.fingerprint[:12]}...; nothing was registered"
        )
    evaluation = read_evaluation(evaluated)
    _require_same_model(trained, evaluated, decision, evaluation)
    typicality = typicality_fit(evaluated, evaluation)
    contract, work = serving_contract(evaluation, prepared, recipe, typicality), paths.stage("register")
    number = version_files.register(
        model_name=recipe.model_name,
        run_id=trained.mlflow_run_id,
        model_path=verified_path(trained.model),
        contract=contract,
        tags={
            **gate_tags(decision),
            "data.name": prepared.dataset,
            "data.fingerprint": prepared.fingerprint,
            "recipe.name": recipe.name,
            "recipe.sha256": recipe.sha256,
            "model.sha256": trained.model.sha256,
            "test_auroc": _shown(evaluated.test_auroc),
            "test_auroc_lower": _shown(evaluated.test_auroc_lower),
            "test_auroc_upper": _shown(evaluated.test_auroc_upper),
        },
        work=work,
    )
    told = {"mlflow_run_id": trained.mlflow_run_id, **_files_of(number, trained, contract, work)}
    # A gate that ran again has another decision, and the version is the one made before: the newest counts.
    versions.set_version_tags(recipe.model_name, number, gate_tags(decision))
    _record_once("registered", decision, number, who, told)
    alias = versions.CHALLENGER if decision.verdict == "PASS" else ""
    if alias:
        versions.set_alias(recipe.model_name, alias, number)
    else:
        versions.remove_alias_from(recipe.model_name, versions.CHALLENGER, number)
    RunLog(tracking.client(), trained.mlflow_run_id).tags({"registry.version": number})
    logger.info("%s version %d registered, %s", recipe.model_name, number, f"alias {alias}" if alias else "no alias")
    return RegisteredModel(
        model_name=recipe.model_name, version=number, mlflow_run_id=trained.mlflow_run_id, alias=alias
    )


def _files_of(number: int, trained: TrainedModel, contract: ServingContract, work: Path) -> dict[str, str]:
    """Digests of the version's files for the audit log; {} of one made before its files went into MLflow byte by byte.

    One that is judged again keeps the files it was made of. Code of before wrote the same contract in other bytes.

    Raises:
        DataDefect: Its files are others than were judged now.
    """
    name, tags = contract.model_name, versions.version_tags(contract.model_name, number)
    if MODEL_TAG not in tags:
        return {}
    judged = FileDigests.of(verified_path(trained.model), write_contract(contract, work))
    if recorded_digests(name, number, trained.mlflow_run_id, tags) == judged:
        return judged.as_detail()
    made = version_files.load_version(name, number, work / "registered")
    if made.contract.prepare_version is None:
        contract = replace(contract, prepare_version=None)
    # What is typical decides nothing, and features computed again may differ in their last bits.
    contract = replace(contract, typicality=made.contract.typicality, trained_on=made.contract.trained_on)
    if (made.digests.model, made.contract) != (judged.model, contract):
        raise DataDefect(
            f"{name} version {number}: expected the model, calibration and thresholds that it was registered with, "
            "found others in what was measured and judged now. What it would serve is not what was judged; nothing was "
            "changed. Train again for a version of its own"
        )
    return made.digests.as_detail()


def _require_same_model(
    trained: TrainedModel, evaluated: EvaluatedModel, decision: GateDecision, evaluation: Evaluation
) -> None:
    """``DataDefect`` unless the decision was made on these metrics, and the metrics measured on this model file."""
    judged = read_json(verified_path(decision.decision))["metrics_sha256"]
    measured = evaluation.model.model_sha256 or "none"
    for what, expected, actual in (
        ("metrics", evaluated.metrics.sha256, judged),
        ("model file", trained.model.sha256, measured),
    ):
        if actual != expected:
            raise DataDefect(
                f"{trained.model_name}: expected a decision on the {what} with sha256 {expected[:12]}..., found one on "
                f"{str(actual)[:12]}...; nothing was registered"
            )


def typicality_fit(evaluated: EvaluatedModel, evaluation: Evaluation) -> TypicalityFit | None:
    """What evaluation fitted; None where it fitted none, or was run before there was this.

    Raises:
        DataDefect: It is another one than these metrics were measured with.
    """
    told = evaluation.typicality
    measured = "" if told is None else told.fit_sha256
    registered = "" if evaluated.typicality is None else evaluated.typicality.sha256
    if registered != measured:
        raise DataDefect(
            f"{evaluated.model_name}: expected the typicality that was measured (sha256 {measured[:12] or 'none'}), "
            f"found {registered[:12] or 'none'}; evaluate the model again"
        )
    if evaluated.typicality is None:
        logger.warning(
            "%s: registered without typicality (%s); it will not tell pictures that it was not trained for",
            evaluated.model_name,
            "evaluated before it was fitted" if told is None else told.reason,
        )
        return None
    return build(TypicalityFit, read_json(verified_path(evaluated.typicality)), "typicality.json")


def serving_contract(
    evaluation: Evaluation, prepared: PreparedDataset, recipe: Recipe, typicality: TypicalityFit | None = None
) -> ServingContract:
    """What the version's logits mean: calibration and thresholds as evaluation fitted them on validation.

    Its pixels are those of the dataset that it was trained on, by that dataset's own record.
    """
    fitted = evaluation.serving
    missing = [finding for finding in recipe.findings if finding not in fitted]
    if missing:
        raise DataDefect(
            "metrics.json: expected calibration and threshold of every finding, found none of " + ", ".join(missing)
        )
    decisions = tuple(
        FindingDecision(finding=finding, a=fitted[finding].a, b=fitted[finding].b, threshold=fitted[finding].threshold)
        for finding in recipe.findings
    )
    pixels = stored_pixels(prepared)
    return ServingContract(
        model_name=recipe.model_name,
        pixels=pixels.spec,
        prepare_version=pixels.prepare_version,
        decisions=decisions,
        dataset=prepared.dataset,
        dataset_fingerprint=prepared.fingerprint,
        recipe=recipe.name,
        recipe_sha256=recipe.sha256,
        typicality=typicality,
        trained_on=evaluation.trained_on,
    )


def _shown(value: float | None) -> str:
    return "not assessable" if value is None else f"{value:.4f}"

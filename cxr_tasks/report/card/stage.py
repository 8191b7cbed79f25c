"""Write a registered version's card: on its MLflow run, and as its description in the registry."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
from cxr_tasks.contracts.handoffs.judgement import EvaluatedModel, GateDecision
from cxr_tasks.contracts.handoffs.release import RegisteredModel
from cxr_tasks.contracts.handoffs.training import TrainedModel
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.evaluate.evaluation_file import read_evaluation
from cxr_tasks.installation.storage.files import read_json, verified_path, write_text
from cxr_tasks.installation.storage.paths import RunPaths, relocated
from cxr_tasks.installation.storage.space import MIB, room_for
from cxr_tasks.registry import tracking, versions
from cxr_tasks.registry.run_log import RunLog
from cxr_tasks.report.material import ReportInputs

log = logging.getLogger(__name__)

#: Where the card stands among the artifacts of the version's MLflow run.
ARTIFACT_FOLDER = "card"
#: Of a version's description in MLflow's registry (its column; SQLite would take more, Postgres refuses it).
DESCRIPTION_LENGTH = 5000


@room_for("writing the card", 2 * MIB)
def publish_card(
    registered: RegisteredModel,
    trained: TrainedModel,
    evaluated: EvaluatedModel,
    decision: GateDecision,
    prepared: PreparedDataset,
    recipe: Recipe,
    paths: RunPaths,
) -> Path:
    """The folder with ``card.html`` and ``card.md``, which also stand on the version's MLflow run.

    The version's description is the Markdown; where that is too long, the sections from the first on that fit, with
    a line that says where the others are. Called again it replaces what it wrote before.

    Raises:
        DataDefect: A file that a former stage wrote is missing, or not what it was.
        ServiceUnavailable: MLflow does not answer.
    """
    from cxr_tasks.report.card.blocks import as_html, as_markdown, shortened_markdown
    from cxr_tasks.report.card.card import card_of

    inputs = _inputs(registered, trained, evaluated, decision, prepared, recipe)
    card = card_of(inputs, policy=decision.policy, environment=inputs.environment)
    folder = paths.stage(f"card/{registered.model_name}")
    write_text(folder / "card.html", as_html(card))
    write_text(folder / "card.md", as_markdown(card))
    rest = f"The whole card: artifacts card/card.html and card/card.md of MLflow run {registered.mlflow_run_id}."
    RunLog(tracking.client(), registered.mlflow_run_id).artifact(folder, ARTIFACT_FOLDER)
    text = shortened_markdown(card, DESCRIPTION_LENGTH, rest)
    versions.set_description(registered.model_name, registered.version, text)
    log.info("card of %s version %d: %s", registered.model_name, registered.version, folder / "card.html")
    return folder


def _inputs(
    registered: RegisteredModel,
    trained: TrainedModel,
    evaluated: EvaluatedModel,
    decision: GateDecision,
    prepared: PreparedDataset,
    recipe: Recipe,
) -> ReportInputs:
    return ReportInputs(
        model_name=registered.model_name,
        version=registered.version,
        generated_at=datetime.now(UTC),
        evaluation=read_evaluation(evaluated),
        predictions=verified_path(evaluated.predictions),
        recipe=recipe.to_dict(),
        recipe_sha256=recipe.sha256,
        statistics=read_json(relocated(prepared.folder) / "statistics.json"),
        fingerprint=prepared.fingerprint,
        history=read_json(verified_path(trained.history)),
        best_epoch=trained.best_epoch,
        train_seconds=trained.seconds,
        provenance=read_json(Path(prepared.folder) / "provenance.json"),
        environment=_environment(trained),
        decision=read_json(verified_path(decision.decision)),
    )


def _environment(trained: TrainedModel) -> dict[str, Any]:
    """What the training noted beside its model; empty where the model is of a training that noted nothing."""
    path = Path(trained.model.uri).with_name("environment.json")
    return read_json(path) if path.is_file() else {}

"""A card on a real MLflow run and version (SQLite under the test's own run-time folder)."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxr_tasks.contracts.artifacts import ArtifactRef
from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
from cxr_tasks.contracts.handoffs.judgement import EvaluatedModel, GateDecision
from cxr_tasks.contracts.handoffs.release import RegisteredModel
from cxr_tasks.contracts.handoffs.training import TrainedModel
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.installation.storage.files import reference_to, write_json
from cxr_tasks.installation.storage.paths import RunPaths

pytestmark = pytest.mark.mlflow


def test_every_registered_version_has_its_card_on_run_and_version(cxr_home, make_inputs, tmp_path):
    from cxr_tasks.registry import tracking, versions
    from cxr_tasks.report.card.stage import DESCRIPTION_LENGTH, publish_card

    inputs, client = make_inputs(), tracking.client()
    with tracking.open_run("cxr_binary", "made") as run:
        run_id = run.run_id
    client.create_registered_model("cxr_binary")
    client.create_model_version("cxr_binary", source=f"runs:/{run_id}/model", run_id=run_id)

    def written(name: str, value) -> ArtifactRef:
        write_json(tmp_path / name, value)
        return reference_to(tmp_path / name)

    write_json(tmp_path / "statistics.json", inputs.statistics)
    moved = {"images": 12, "patients": 5}
    splits = {"rule": "official", "n_official": 188, "moved_in": moved, "moved_out": {"images": 0, "patients": 0}}
    write_json(tmp_path / "provenance.json", {"splits": splits})
    write_json(tmp_path / "environment.json", {"processor": "Some CPU"})
    made_of = (
        TrainedModel(
            model_name="cxr_binary", recipe_sha256=inputs.recipe_sha256, dataset_fingerprint=inputs.fingerprint,
            mlflow_run_id=run_id, model=written("model.keras", {}), history=written("history.json", inputs.history),
            best_epoch=3, epochs_run=3, val_auroc=0.9, seconds=90.0,
        ),
        EvaluatedModel(
            model_name="cxr_binary", mlflow_run_id=run_id, predictions=reference_to(inputs.predictions),
            metrics=written("metrics.json", inputs.evaluation.to_json()), test_auroc=0.9, test_auroc_lower=0.8,
            test_auroc_upper=1.0,
        ),
        GateDecision(
            model_name="cxr_binary", verdict="PASS", reasons=(), decision=written("decision.json", inputs.decision),
            champion_version=None, policy="cxr_binary 1",
        ),
        PreparedDataset(
            dataset="kermany", folder=str(tmp_path), fingerprint=inputs.fingerprint, index=written("index", {}),
            vocabulary="pneumonia", size_px=128, n_train=200, n_validation=200, n_test=200,
        ),
        Recipe.from_dict(inputs.recipe),
        RunPaths.for_run("cxr_train_binary", "manual__1"),
    )  # fmt: skip
    registered = RegisteredModel(model_name="cxr_binary", version=1, mlflow_run_id=run_id, alias="challenger")
    folder = publish_card(registered, *made_of)

    stored = {one.path for one in client.list_artifacts(run_id, "card")}
    assert stored == {"card/card.html", "card/card.md"}
    fetched = Path(client.download_artifacts(run_id, "card/card.md"))
    assert fetched.read_text() == (folder / "card.md").read_text()
    for text in ("Model card: cxr_binary, version 1", "Policy cxr_binary 1.", "Some CPU", "CC BY 4.0"):
        assert text in fetched.read_text()
    description = versions.registered("cxr_binary", 1).description
    assert 0 < len(description) <= DESCRIPTION_LENGTH
    assert description.endswith(f"card/card.html and card/card.md of MLflow run {run_id}.")

    publish_card(registered, *made_of)  # a task tried again
    assert {one.path for one in client.list_artifacts(run_id, "card")} == stored

"""A version trained, registered, and trained again for real, on two classes of small pictures."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import yaml

from cxr_tasks.contracts.artifacts import sha256_json
from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.serving_contract import FindingDecision, ServingContract
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.installation.storage.files import verified_path
from cxr_tasks.installation.storage.paths import RunPaths, home

pytestmark = [pytest.mark.tf, pytest.mark.mlflow]


def registered(recipe, prepared, *, n_epochs):
    """Version 1: ``recipe`` trained until after ``n_epochs``, as a clock would have ended it."""
    from cxr_tasks.evaluate.stage import evaluate_model
    from cxr_tasks.registry import version_files
    from cxr_tasks.train.candidate import train_candidate

    paths = RunPaths.for_run("cxr_train_binary", "manual__1")
    trained = train_candidate(
        prepared,
        recipe,
        paths,
        run_name="first",
        judge=lambda progress: "0.1 minutes have passed" if progress.epochs_run == n_epochs else "",
    )
    evaluate_model(trained, prepared, recipe, paths)
    contract = ServingContract(
        model_name=recipe.model_name,
        pixels=recipe.pixels,
        decisions=(FindingDecision(finding="pneumonia", a=1.0, b=0.0, threshold=0.5),),
        dataset=prepared.dataset,
        dataset_fingerprint=prepared.fingerprint,
        recipe=recipe.name,
        recipe_sha256=recipe.sha256,
    )
    tags = {
        "recipe.sha256": recipe.sha256,
        "data.name": prepared.dataset,
        "data.fingerprint": prepared.fingerprint,
    }
    version_files.register(
        model_name=recipe.model_name,
        run_id=trained.mlflow_run_id,
        model_path=verified_path(trained.model),
        contract=contract,
        tags=tags,
        work=paths.stage("register"),
    )
    return trained


def test_a_version_comes_out_again_to_the_last_bit_and_another_does_not(cxr_home, prepare_tiny, tiny_recipe, tmp_path):
    from cxr_tasks.registry import tracking, versions
    from cxr_tasks.reproduce.stage import reproduce_version

    clocked = dataclasses.replace(tiny_recipe.train, max_minutes=600.0)
    recipe = dataclasses.replace(
        tiny_recipe, train=clocked, evaluate=EvaluateSpec(bootstrap_samples=100, min_positives=2)
    )
    prepared = prepare_tiny(recipe)
    trained = registered(recipe, prepared, n_epochs=2)

    found = reproduce_version("cxr_binary", 1)
    assert (found["outcome"], found["differences"], found["first_other_epoch"]) == ("equal", [], None)
    assert found["same_predictions"]
    assert found["n_numbers"] > 50
    assert found["epochs_run"] == [2, 2]
    assert found["recorded_stopped_by"] == "0.1 minutes have passed"
    assert found["environment"] == {}
    assert found["folder"] is None
    assert list((home() / "runs").glob("reproduce__*")) == []

    assert len(versions.model_versions()) == 1
    entry = versions.registered("cxr_binary", 1)
    assert (entry.run_id, entry.tags["reproduced.outcome"]) == (trained.mlflow_run_id, "equal")
    run = tracking.client().get_run(found["mlflow_run_id"])
    assert run.data.tags["cxr.reproduction_of"] == "cxr_binary/1"
    assert run.data.tags["cxr.reproduction"] == "equal"
    assert "reproduction.json" in [one.path for one in tracking.client().list_artifacts(run.info.run_id)]

    # The same with another seed in what is recorded, and a gate as other code knew it: another model.
    other = dataclasses.replace(recipe, train=dataclasses.replace(clocked, seed=8)).to_dict()
    other["gate"] = {"of_other_code": True}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(other, sort_keys=False))
    tracking.client().log_artifact(trained.mlflow_run_id, str(tmp_path / "recipe.yaml"))
    with pytest.raises(DataDefect, match="expected the recipe with sha256"):
        reproduce_version("cxr_binary", 1)
    versions.set_version_tags("cxr_binary", 1, {"recipe.sha256": sha256_json(other)})
    found = reproduce_version("cxr_binary", 1, tolerance=0.0)
    assert found["outcome"] != "equal"
    assert (found["first_other_epoch"], found["same_predictions"], found["same_test_rows"]) == (1, False, True)
    assert found["differences"]
    assert Path(found["folder"], "reproduction.json").is_file()
    assert versions.registered("cxr_binary", 1).tags["reproduced.outcome"] == found["outcome"]

    with pytest.raises(versions.NoSuchVersion, match="version 7 is not in the registry; there are: cxr_binary 1"):
        reproduce_version("cxr_binary", 7)
    shutil.rmtree(prepared.folder)
    with pytest.raises(DataDefect, match="is not on disk .*'cxr trigger synthetic_binary'"):
        reproduce_version("cxr_binary", 1)

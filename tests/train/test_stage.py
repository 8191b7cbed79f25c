"""The stage as a DAG calls it, killed for real, with a real MLflow store."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.contracts.train_specs import PhantomSpec, PhaseSpec
from cxr_tasks.installation.storage.files import read_json, verified_path, write_json
from cxr_tasks.installation.storage.paths import PROJECT_ROOT, RunPaths
from tests.waiting import wait_until

pytestmark = [pytest.mark.tf, pytest.mark.mlflow]

#: What a worker process runs; an epoch lasts a while, so that there is time to kill it in the middle of one.
WORKER = """
import json, sys, time
from pathlib import Path
from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.train import candidate
from cxr_tasks.train.loop import fit

step = fit.Trainer.run_epoch
def slowly(self, epoch, batches):
    record = step(self, epoch, batches)
    Path(sys.argv[3]).write_text(str(epoch))
    time.sleep(float(sys.argv[4]))
    return record
fit.Trainer.run_epoch = slowly
order = json.loads(Path(sys.argv[1]).read_text())
candidate.train_candidate(
    PreparedDataset.from_payload(order["prepared"]), Recipe.from_dict(order["recipe"]), RunPaths(Path(sys.argv[2])),
    run_name="worker",
)
"""


def runs_of(recipe: Recipe):
    from cxr_tasks.registry.tracking import client, experiment_id

    mlflow = client()
    return mlflow.search_runs([experiment_id(mlflow, recipe.model_name)])


def weights_of(trained):
    import keras

    return keras.saving.load_model(verified_path(trained.model)).get_weights()


def test_training_is_in_mlflow_and_in_files(cxr_home, prepare_tiny, tiny_recipe):
    from cxr_tasks.registry.tracking import client
    from cxr_tasks.train.candidate import train_candidate

    prepared, paths = prepare_tiny(tiny_recipe), RunPaths.for_run("cxr_train_binary", "manual__1")
    trained = train_candidate(prepared, tiny_recipe, paths, run_name="first", tags={"who": "test"})
    history = json.loads(verified_path(trained.history).read_text())
    assert trained.epochs_run == len(history) == 4 and trained.val_auroc == history[trained.best_epoch - 1]["val_auroc"]
    assert trained.recipe_sha256 == tiny_recipe.sha256 and trained.dataset_fingerprint == prepared.fingerprint

    run = client().get_run(trained.mlflow_run_id)
    assert (run.info.status, run.info.run_name, run.data.tags["who"]) == ("FINISHED", "first", "test")
    assert run.data.params["train.epochs"] == "4" and run.data.params["precision_in_force"] == "float32"
    for metric in ("loss", "val_loss", "val_auroc", "learning_rate", "images_per_second", "seconds"):
        points = client().get_metric_history(trained.mlflow_run_id, metric)
        assert [point.step for point in points] == [1, 2, 3, 4], metric
        assert [point.value for point in points] == pytest.approx([record[metric] for record in history])
    assert {file.path for file in client().list_artifacts(trained.mlflow_run_id)} >= {
        "model.keras", "history.json", "recipe.yaml", "trained_on.parquet",
    }  # fmt: skip
    provenance = json.loads((Path(prepared.folder) / "provenance.json").read_text())
    assert {one.dataset.name for one in run.inputs.dataset_inputs} == {prepared.dataset}
    for one in run.inputs.dataset_inputs:
        tags = {tag.key: tag.value for tag in one.tags}
        assert tags["cxr.validation.sha256"] == provenance["validation"]["sha256"]
        assert tags["cxr.validation.n_warnings"] == "0"
        assert tags["cxr.validation.drift"] == "not recorded"  # the builder's profile is empty

    assert train_candidate(prepared, tiny_recipe, paths, run_name="again") == trained
    assert len(runs_of(tiny_recipe)) == 1


def test_a_training_that_fails_for_good_leaves_no_pixels_and_no_features(
    cxr_home, prepare_tiny, tiny_recipe, monkeypatch
):
    from cxr_tasks.datasets import load
    from cxr_tasks.train.candidate import train_candidate

    head = PhaseSpec(name="head", epochs=2, learning_rate=0.02, unfrozen_blocks=0, augment=False)
    train = dataclasses.replace(tiny_recipe.train, phases=(head,), epochs=2)
    recipe = Recipe.from_dict(dataclasses.replace(tiny_recipe, train=train).to_dict())
    paths, seen = RunPaths.for_run("cxr_train_binary", "manual__1"), []

    def fails(progress):
        seen.extend(one.name for one in paths.root.rglob("*.npy"))
        raise DataDefect("the judge has seen enough")

    monkeypatch.setattr(load, "MEMORY_SHARE", 0.0)
    with pytest.raises(DataDefect, match="seen enough"):
        train_candidate(prepare_tiny(recipe), recipe, paths, run_name="fails", judge=fails)
    assert seen and all(one.startswith("features-") for one in seen)  # pixels have no name, features are kept to resume
    assert list(paths.root.rglob("*.npy")) == []


def test_a_training_that_starts_from_phantoms_tells_how_they_were_learnt(cxr_home, prepare_tiny, tiny_recipe):
    from cxr_tasks.registry.tracking import client
    from cxr_tasks.train.candidate import train_candidate

    phantoms = PhantomSpec(n_images=100, epochs=2)
    train = dataclasses.replace(tiny_recipe.train, starting_weights="phantoms", phantoms=phantoms, epochs=1)
    recipe = dataclasses.replace(tiny_recipe, train=train)
    paths = RunPaths.for_run("cxr_train_binary", "manual__1")
    trained = train_candidate(prepare_tiny(recipe), recipe, paths, run_name="from phantoms")
    run = client().get_run(trained.mlflow_run_id)
    assert run.data.params["train.starting_weights"] == "phantoms"
    assert {"phantoms_best_val_auroc", "phantoms_seconds"} <= set(run.data.metrics)
    told = client().get_metric_history(trained.mlflow_run_id, "phantoms_val_auroc")
    assert [point.step for point in told] == [1, 2]
    environment = json.loads((verified_path(trained.model).parent / "environment.json").read_text())
    assert "sha256 of train.starting_weights" in environment


def test_a_killed_training_goes_on_in_the_same_run_and_ends_with_the_same_bits(
    cxr_home, tmp_path, prepare_tiny, tiny_recipe
):
    from cxr_tasks.registry.tracking import client
    from cxr_tasks.train.candidate import train_candidate

    prepared = prepare_tiny(tiny_recipe)
    never_killed = train_candidate(prepared, tiny_recipe, RunPaths(tmp_path / "whole"), run_name="whole")

    paths = RunPaths(tmp_path / "killed")
    order, epoch_file = tmp_path / "order.json", tmp_path / "epoch"
    order.write_text(json.dumps({"prepared": prepared.to_payload(), "recipe": tiny_recipe.to_dict()}))
    for kill_in_epoch in (1, 3):  # before any state is on disk, and with two epochs done
        _kill_in_epoch(kill_in_epoch, order, paths.root, epoch_file)
    killed = [run for run in runs_of(tiny_recipe) if run.info.run_id != never_killed.mlflow_run_id]
    assert [run.info.status for run in killed] == ["RUNNING"]

    trained = train_candidate(prepared, tiny_recipe, paths, run_name="worker")
    assert trained.mlflow_run_id == killed[0].info.run_id and len(runs_of(tiny_recipe)) == 2
    assert client().get_run(trained.mlflow_run_id).info.status == "FINISHED"
    points = client().get_metric_history(trained.mlflow_run_id, "val_auroc")
    assert [point.step for point in points] == [1, 2, 3, 4]
    assert (trained.best_epoch, trained.val_auroc) == (never_killed.best_epoch, never_killed.val_auroc)
    pairs = zip(weights_of(trained), weights_of(never_killed), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


def _kill_in_epoch(epoch: int, order: Path, root: Path, epoch_file: Path) -> None:
    """Start a worker process and kill it after it trained ``epoch``, before that epoch is saved."""
    epoch_file.unlink(missing_ok=True)
    command = [sys.executable, "-c", WORKER, str(order), str(root), str(epoch_file)]
    # Earlier epochs pass quickly; the one to be killed in waits for us.
    script = command[2].replace("float(sys.argv[4])", f"60 if epoch == {epoch} else 0")
    worker = subprocess.Popen([*command[:2], script, *command[3:], "0"], cwd=PROJECT_ROOT, env=dict(os.environ))
    wait_until(lambda: epoch_file.exists() and epoch_file.read_text() == str(epoch), f"epoch {epoch}", of=worker)
    worker.send_signal(signal.SIGKILL)
    worker.wait(timeout=300)


def test_an_epoch_that_mlflow_did_not_hear_of_is_told_once_later(
    cxr_home, prepare_tiny, tiny_recipe, tmp_path, monkeypatch
):
    from cxr_tasks.contracts.errors import ServiceUnavailable
    from cxr_tasks.registry.run_log import RunLog
    from cxr_tasks.registry.tracking import client
    from cxr_tasks.train.candidate import train_candidate

    tell = RunLog.metrics

    def fail_once(self, values, *, step=0):
        if step == 2:
            monkeypatch.setattr(RunLog, "metrics", tell)
            raise ServiceUnavailable("MLflow went away")
        tell(self, values, step=step)

    prepared, paths = prepare_tiny(tiny_recipe), RunPaths(tmp_path / "run")
    monkeypatch.setattr(RunLog, "metrics", fail_once)
    with pytest.raises(ServiceUnavailable):
        train_candidate(prepared, tiny_recipe, paths, run_name="x")
    assert [run.info.status for run in runs_of(tiny_recipe)] == ["FAILED"]
    trained = train_candidate(prepared, tiny_recipe, paths, run_name="x")
    points = client().get_metric_history(trained.mlflow_run_id, "loss")
    assert [point.step for point in points] == [1, 2, 3, 4]
    assert [run.info.status for run in runs_of(tiny_recipe)] == ["FINISHED"]


def test_a_run_killed_before_it_left_a_note_is_found_by_its_tag(cxr_home, prepare_tiny, tiny_recipe, tmp_path):
    from cxr_tasks.train.candidate import train_candidate

    prepared, paths = prepare_tiny(tiny_recipe), RunPaths(tmp_path / "run")
    short = dataclasses.replace(tiny_recipe, train=dataclasses.replace(tiny_recipe.train, epochs=1))
    trained = train_candidate(prepared, short, paths, run_name="x")
    folder = Path(trained.model.uri).parent
    for file in ("run.json", "trained.json"):
        (folder / file).unlink()
    assert train_candidate(prepared, short, paths, run_name="x").mlflow_run_id == trained.mlflow_run_id
    assert len(runs_of(short)) == 1


def test_uncertain_labels_become_what_the_recipe_says(cxr_home, prepare_tiny, tiny_recipe, tmp_path, caplog):
    from cxr_tasks.registry.tracking import client
    from cxr_tasks.train.candidate import train_candidate

    prepared, losses = prepare_tiny(tiny_recipe, n_uncertain=10), {}
    for policy, after in (("ones", (21, 11, 0)), ("ignore", (11, 11, 10))):
        labels = dataclasses.replace(tiny_recipe.train.labels, uncertain=policy)
        changed = dataclasses.replace(
            tiny_recipe, train=dataclasses.replace(tiny_recipe.train, epochs=1, labels=labels)
        )
        caplog.clear()
        with caplog.at_level(logging.INFO, logger="cxr_tasks.train.candidate"):
            trained = train_candidate(prepared, changed, RunPaths(tmp_path / "run"), run_name=policy)
        counts = json.loads((Path(trained.model.uri).parent / "labels.json").read_text())["pneumonia"]
        assert counts["policy"] == policy and counts["before"]["uncertain"] == 10
        assert tuple(counts["after"][key] for key in ("positive", "negative", "masked")) == after
        stored = {file.path for file in client().list_artifacts(trained.mlflow_run_id)}
        assert {"labels.txt", "labels.json"} <= stored
        table = (Path(trained.model.uri).parent / "labels.txt").read_text().rstrip("\n")
        assert table in caplog.messages
        (row,) = (line.split() for line in table.splitlines() if line.startswith("pneumonia"))
        assert row[1] == policy and {"10", str(after[0])} <= set(row)
        assert client().get_run(trained.mlflow_run_id).data.params["train.labels.uncertain"] == policy
        losses[policy] = json.loads(verified_path(trained.history).read_text())[0]["loss"]
    assert losses["ones"] != losses["ignore"], "the loss sees it too"


def test_recipe_and_dataset_must_fit(cxr_home, prepare_tiny, tiny_recipe, tmp_path):
    from cxr_tasks.train.candidate import train_candidate

    prepared = dataclasses.replace(prepare_tiny(tiny_recipe), size_px=99)
    with pytest.raises(ConfigurationError, match=r"pixels\.size_px is 16, the dataset .* with 99"):
        train_candidate(prepared, tiny_recipe, RunPaths(tmp_path / "run"), run_name="x")
    other = dataclasses.replace(tiny_recipe, pixels=PixelSpec(size_px=24))
    with pytest.raises(ConfigurationError, match=r"pixels\.size_px is 24"):
        train_candidate(prepared, other, RunPaths(tmp_path / "run"), run_name="x")


def test_a_dataset_of_another_fit_is_not_trained_on(cxr_home, prepare_tiny, tiny_recipe, tmp_path):
    """Its images have the very shape that the recipe asks for."""
    from cxr_tasks.train.candidate import train_candidate

    cropped = dataclasses.replace(tiny_recipe, pixels=dataclasses.replace(tiny_recipe.pixels, fit="crop"))
    with pytest.raises(ConfigurationError, match=r"pixels\.fit is 'crop', the dataset .* with 'stretch'"):
        train_candidate(prepare_tiny(tiny_recipe), cropped, RunPaths(tmp_path / "run"), run_name="x")


@pytest.mark.parametrize(
    ("versions", "told"), [({"prepare": 2}, "by version 2 of the preparation"), ({}, "before its version was kept")]
)
def test_a_dataset_of_an_older_preparation_is_not_planned_with(
    cxr_home, prepare_tiny, tiny_recipe, tmp_path, versions, told
):
    from cxr_tasks.train.stage import start_training

    prepared = prepare_tiny(tiny_recipe)
    record = read_json(Path(prepared.folder) / "provenance.json")
    write_json(Path(prepared.folder) / "provenance.json", {**record, "versions": versions})
    with pytest.raises(ConfigurationError, match=f"was prepared {told}, expected version"):
        start_training(prepared, tiny_recipe, RunPaths(tmp_path / "run"))

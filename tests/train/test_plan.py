"""Several candidates as a DAG trains them: a plan, one training each, killed for real, with a real MLflow store."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.handoffs.training import TrainingPlan
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.installation.storage.files import verified_path
from cxr_tasks.installation.storage.paths import PROJECT_ROOT, RunPaths
from tests.waiting import wait_until

pytestmark = [pytest.mark.tf, pytest.mark.mlflow]

#: Weights grow a millionfold with each step: the loss is infinite before the first epoch ends.
DIVERGES = {"train.learning_rate": 10.0, "train.weight_decay": 1.0e30, "train.clip_norm": None}
#: Nothing is learnt within a few epochs.
STANDS_STILL = {"train.learning_rate": {"low": 1e-8, "high": 1e-7, "log": True}}

WORKER = """
import json, sys, time
from pathlib import Path
from cxr_tasks.contracts.handoffs.training import TrainingPlan
from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.train import stage
from cxr_tasks.train.loop import fit

step = fit.Trainer.run_epoch
def slowly(self, epoch, batches):
    record = step(self, epoch, batches)
    Path(sys.argv[3]).write_text(str(epoch))
    time.sleep(60 if epoch == 2 else 0)
    return record
fit.Trainer.run_epoch = slowly
stage.train_one(TrainingPlan.from_payload(json.loads(Path(sys.argv[1]).read_text())), 2, RunPaths(Path(sys.argv[2])))
"""


@pytest.fixture
def recipe(tiny_recipe) -> Recipe:
    """Two epochs, and a validation split of 8 images that may be assessed."""
    return dataclasses.replace(
        tiny_recipe,
        train=dataclasses.replace(tiny_recipe.train, epochs=2),
        evaluate=dataclasses.replace(tiny_recipe.evaluate, min_positives=2),
    )


def changed(recipe: Recipe, **parts) -> Recipe:
    return Recipe.from_dict({**recipe.to_dict(), **parts})


def runs_of(recipe: Recipe):
    from cxr_tasks.registry.tracking import client, experiment_id

    mlflow = client()
    return mlflow.search_runs([experiment_id(mlflow, recipe.model_name)])


def test_three_candidates_of_which_one_fails(cxr_home, prepare_tiny, recipe, caplog):
    from cxr_tasks.registry.tracking import client
    from cxr_tasks.train.stage import PARENT_TAG, dataset_for, recipe_of, start_training, train_one
    from cxr_tasks.train.winner import pick_winner

    several = changed(recipe, candidates=[{"train.learning_rate": 1e-7}, {"train.seed": 2}, DIVERGES])
    prepared, paths = prepare_tiny(several), RunPaths.for_run("cxr_train_binary", "manual__1")
    for file in Path(prepared.folder).glob("*-test.tfrecord*"):
        file.unlink()  # nobody may look at it before the winner is known

    plan = start_training(prepared, several, paths, run_name="tiny manual__1", tags={"cxr.dag_run_id": "manual__1"})
    assert start_training(prepared, several, paths, run_name="tiny manual__1", tags=plan.tags) == plan
    assert TrainingPlan.from_payload(json.loads(json.dumps(plan.to_payload()))) == plan
    assert client().get_run(plan.parent_run_id).info.status == "RUNNING" and len(runs_of(recipe)) == 1

    trained = [train_one(plan, number, paths) for number in (1, 2)]
    with pytest.raises(DataDefect, match="expected a finite training loss"):
        train_one(plan, 3, paths)
    assert [one.candidate for one in trained] == [1, 2]
    assert [one.candidate_name for one in trained] == ["learning_rate=1e-07", "seed=2"]
    assert trained[1].val_auroc > trained[0].val_auroc
    assert trained[1].val_auroc_lower <= trained[1].val_auroc <= trained[1].val_auroc_upper

    with caplog.at_level("INFO", logger="cxr_tasks.train"):
        winner = pick_winner(plan, [*trained, None], paths)
    assert winner == trained[1] == pick_winner(plan, trained, paths), "also when failed ones are left out"
    assert recipe_of(plan, winner).train.seed == 2 and recipe_of(plan, winner).sha256 == winner.recipe_sha256
    assert dataset_for(plan, winner) == prepared

    comparison = json.loads((paths.root / "train" / "candidates.json").read_text())
    outcomes = [(one["number"], one["name"], one["outcome"]) for one in comparison["candidates"]]
    assert outcomes == [
        (1, "learning_rate=1e-07", "finished"),
        (2, "seed=2", "winner"),
        (3, "learning_rate=10 weight_decay=1e+30 clip_norm=null", "failed"),
    ]
    first, best, failed = comparison["candidates"]
    assert first["to_winner"] == pytest.approx(first["val_score"] - best["val_score"])
    assert first["to_winner_lower"] <= first["to_winner"] <= first["to_winner_upper"]
    assert (best["val_auroc"], best["epochs_run"], best["to_winner"]) == (winner.val_auroc, 2, None)
    assert "expected a finite training loss" in failed["reason"] and failed["val_auroc"] is None
    markdown = (paths.root / "train" / "candidates.md").read_text()
    for shown in ("learning_rate=1e-07", f"{winner.val_auroc:.4f}", "winner", "3 failed: DataDefect", "8 patients"):
        assert shown in caplog.text and shown in markdown, shown

    parent = client().get_run(plan.parent_run_id)
    assert parent.info.status == "FINISHED" and parent.data.tags["cxr.winner"] == "2: seed=2"
    assert parent.data.metrics["best_val_auroc"] == pytest.approx(winner.val_auroc)
    assert (parent.data.metrics["n_candidates"], parent.data.metrics["n_failed"]) == (3, 1)
    assert {file.path for file in client().list_artifacts(plan.parent_run_id)} == {"candidates.json", "candidates.md"}
    children = {one.data.tags["cxr.candidate"]: one for one in runs_of(recipe) if PARENT_TAG in one.data.tags}
    assert {one.data.tags[PARENT_TAG] for one in children.values()} == {plan.parent_run_id}
    assert {key: one.data.tags["cxr.outcome"] for key, one in children.items()} == {
        "1": "finished", "2": "winner", "3": "failed",
    }  # fmt: skip
    assert [children[key].info.status for key in "123"] == ["FINISHED", "FINISHED", "FAILED"]
    assert children["2"].info.run_id == winner.mlflow_run_id and children["2"].info.run_name == "2: seed=2"


def test_one_candidate_needs_no_run_above_its_own(cxr_home, prepare_tiny, recipe, tmp_path):
    from cxr_tasks.registry.tracking import client
    from cxr_tasks.train.stage import start_training, train_one
    from cxr_tasks.train.winner import pick_winner

    short = changed(recipe, train={**recipe.to_dict()["train"], "epochs": 1})
    paths = RunPaths(tmp_path / "run")
    plan = start_training(prepare_tiny(short), short, paths, run_name="tiny manual__1", tags={"who": "test"})
    trained = train_one(plan, 1, paths)
    assert plan.parent_run_id is None and trained.recipe_sha256 == short.sha256
    assert pick_winner(plan, [trained], paths) == trained
    (run,) = runs_of(short)
    assert (run.info.run_name, run.info.status, run.data.tags["who"]) == ("tiny manual__1", "FINISHED", "test")
    assert {file.path for file in client().list_artifacts(run.info.run_id)} >= {
        "candidates.md",
        "labels.txt",
        "model.keras",
    }


def test_where_all_fail_the_reasons_are_given(cxr_home, prepare_tiny, recipe, tmp_path):
    from cxr_tasks.registry.tracking import client
    from cxr_tasks.train.stage import start_training, train_one
    from cxr_tasks.train.winner import NO_RESULT, pick_winner

    too_small = {"train.network": "densenet121", "train.network_options": {}}
    both = changed(recipe, candidates=[too_small, {"train.seed": 2}])
    paths = RunPaths(tmp_path / "run")
    plan = start_training(prepare_tiny(both), both, paths)
    with pytest.raises(ConfigurationError, match="from 64 up"):
        train_one(plan, 1, paths)
    with pytest.raises(DataDefect) as caught:
        pick_winner(plan, [], paths)
    assert "from 64 up" in str(caught.value) and NO_RESULT in str(caught.value)
    assert client().get_run(plan.parent_run_id).info.status == "FAILED"
    rows = json.loads((paths.root / "train" / "candidates.json").read_text())["candidates"]
    assert [(one["outcome"], one["seconds"]) for one in rows] == [("failed", None)] * 2


def test_what_cannot_work_is_said_before_anything_starts(cxr_home, prepare_tiny, recipe, tmp_path):
    from cxr_tasks.train.stage import start_training

    prepared, paths = prepare_tiny(recipe), RunPaths(tmp_path / "run")
    for changes, message in (
        ({"candidates": [{}, {"pixels.size_px": 24}]}, "a candidate asks for images of 24 px"),
        ({"candidates": [{}, {"train.starting_weights": "absent.keras"}]}, "expected the file .*absent.keras"),
        ({"search": {"n_candidates": 2, "space": {"train.starting_weights": ["none", "absent.h5"]}}}, "absent.h5"),
        ({"candidates": [{"train.sed": 2}]}, "did you mean 'train.seed'"),
        ({"candidates": [{}, {"train.network_options.width": 4}]}, "did you mean 'widths'"),
        ({"pixels": {"size_px": 32}}, "pixels.size_px is 32"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            start_training(prepared, changed(recipe, **changes), paths)
    assert runs_of(recipe) == [] and not (paths.root / "train").exists()


def test_a_candidate_of_another_resolution_trains_on_its_own_dataset(cxr_home, prepare_tiny, recipe, tmp_path):
    from cxr_tasks.train.candidates.candidates import datasets_needed
    from cxr_tasks.train.stage import dataset_for, recipe_of, start_training, train_one

    short = changed(recipe, train={**recipe.to_dict()["train"], "epochs": 1})
    both = changed(short, candidates=[{}, {"pixels.size_px": 24}])
    prepared = [prepare_tiny(dataclasses.replace(both, pixels=pixels)) for pixels in datasets_needed(both)]
    paths = RunPaths(tmp_path / "run")
    plan = start_training(prepared[0], both, paths)
    assert plan.datasets == tuple(prepared)
    trained = train_one(plan, 2, paths)
    assert dataset_for(plan, trained) == prepared[1] and recipe_of(plan, trained).pixels.size_px == 24
    import keras

    assert keras.saving.load_model(verified_path(trained.model)).input_shape == (None, 24, 24, 1)


def test_a_killed_candidate_goes_on_with_its_trial_in_its_own_run(cxr_home, prepare_tiny, recipe, tmp_path):
    from cxr_tasks.registry.tracking import client
    from cxr_tasks.train.candidates.search import Search
    from cxr_tasks.train.stage import PARENT_TAG, start_training, train_one

    searching = changed(
        recipe, search={"n_candidates": 3, "space": {"train.learning_rate": {"low": 1e-3, "high": 1e-1, "log": True}}}
    )
    paths = RunPaths(tmp_path / "run")
    plan = start_training(prepare_tiny(searching), searching, paths)
    order, epoch_file = tmp_path / "plan.json", tmp_path / "epoch"
    order.write_text(json.dumps(plan.to_payload()))
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(order), str(paths.root), str(epoch_file)],
        cwd=PROJECT_ROOT, env=dict(os.environ),
    )  # fmt: skip
    wait_until(lambda: epoch_file.exists() and epoch_file.read_text() == "2", "epoch 2", of=worker)
    worker.send_signal(signal.SIGKILL)
    worker.wait(timeout=300)

    search = Search(paths.stage("train"), searching)
    proposed = search.settings_of(2)
    other = search.settings_of(1)  # another candidate asks before the retry comes
    (killed,) = (run for run in runs_of(recipe) if PARENT_TAG in run.data.tags)
    trained = train_one(plan, 2, paths)
    assert trained.settings == proposed != other and trained.mlflow_run_id == killed.info.run_id
    assert [point.step for point in client().get_metric_history(killed.info.run_id, "val_auroc")] == [1, 2]
    child = client().get_run(killed.info.run_id)
    assert child.data.tags[PARENT_TAG] == plan.parent_run_id and child.info.status == "FINISHED"
    assert child.info.run_name == f"2: {trained.candidate_name}"
    journal = [json.loads(line) for line in (paths.root / "train" / "search.journal").read_text().splitlines()]
    assert sum("user_attrs" in line and line["user_attrs"].get("candidate") == 2 for line in journal) == 1


def test_a_candidate_that_falls_behind_is_ended_and_stands_in_the_table(cxr_home, prepare_tiny, recipe, tmp_path):
    from cxr_tasks.registry.tracking import client
    from cxr_tasks.train.candidates.search import Search
    from cxr_tasks.train.stage import start_training, train_one
    from cxr_tasks.train.winner import pick_winner

    longer = changed(recipe, train={**recipe.to_dict()["train"], "epochs": 4})
    searching = changed(longer, search={"n_candidates": 3, "space": STANDS_STILL})
    paths = RunPaths(tmp_path / "run")
    plan = start_training(prepare_tiny(searching), searching, paths)
    search = Search(paths.stage("train"), searching)
    for number in (1, 2):  # as if two perfect ones had run to their end
        search.settings_of(number)
        assert search.tell_epochs(number, dict.fromkeys(range(1, 5), 1.0)) == ""
        search.tell_end(number, 1.0)
    trained = train_one(plan, 3, paths)
    assert trained.was_ended_early and trained.epochs_run == 2 and "behind the other candidates" in trained.stopped_by
    assert train_one(plan, 3, paths) == trained
    tags = client().get_run(trained.mlflow_run_id).data.tags
    assert tags["cxr.stopped_by"] == trained.stopped_by
    assert pick_winner(plan, [None, None, trained], paths) == trained
    markdown = (paths.root / "train" / "candidates.md").read_text()
    assert "3 winner: behind the other candidates" in markdown and "1 failed" in markdown

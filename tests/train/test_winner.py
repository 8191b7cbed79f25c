"""The choice, from files as trainings leave them; no model and no MLflow is needed for it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.handoffs.training import PlannedCandidate, TrainedModel, TrainingPlan
from cxr_tasks.contracts.recipes import Recipe, load_recipe
from cxr_tasks.installation.storage.files import reference_to, write_json
from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.train.candidates.comparison_table import as_markdown, as_text, summary_of
from cxr_tasks.train.candidates.recipe_settings import with_settings
from cxr_tasks.train.loop.validation_logits import ValidationLogits
from cxr_tasks.train.winner import NO_RESULT, compare

N = 120
TARGETS = (np.arange(N) % 2).astype(np.float32)[:, None]


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe("synthetic_binary")


def plan_of(recipe: Recipe, n: int) -> TrainingPlan:
    planned = [PlannedCandidate(number=i, name=f"seed={i}", settings={"train.seed": i}) for i in range(1, n + 1)]
    return TrainingPlan(
        model_name="cxr_binary", run_name="made", recipe=recipe.to_dict(), datasets=(), candidates=tuple(planned),
        parent_run_id="p", tags={},
    )  # fmt: skip


@pytest.fixture
def trained(tmp_path: Path, recipe: Recipe):
    """A candidate whose logits tell the classes apart by ``skill`` standard deviations, on ``n_views`` views."""

    def make(
        number: int, skill: float, *, loss: float = 0.5, noise: int = 0, n_views: int = 1, **changes
    ) -> TrainedModel:
        folder = tmp_path / str(number)
        folder.mkdir()
        rng = np.random.default_rng(noise)
        logits = (skill * TARGETS + rng.normal(size=(n_views, N, 1))).astype(np.float32)
        ValidationLogits(logits, TARGETS, np.arange(N)).write(folder / "validation.npz")
        write_json(folder / "history.json", [{"epoch": 1, "val_loss": loss}])
        one = TrainedModel(
            model_name="cxr_binary",
            recipe_sha256=with_settings(recipe, {"train.seed": number}).sha256,
            dataset_fingerprint="ab" * 32,
            mlflow_run_id=f"r{number}",
            model=reference_to(folder / "history.json"),
            history=reference_to(folder / "history.json"),
            best_epoch=1,
            epochs_run=1,
            val_auroc=0.5,
            seconds=61.4,
            candidate=number,
            candidate_name=f"seed={number}",
            settings={"train.seed": number},
            validation=reference_to(folder / "validation.npz"),
        )
        return dataclasses.replace(one, **changes)

    return make


def by_number(*trained: TrainedModel) -> dict[int, TrainedModel]:
    return {one.candidate: one for one in trained}


def test_the_best_on_validation_wins_and_the_others_are_measured_by_it(tmp_path, recipe, trained):
    finished = by_number(trained(1, 1.0), trained(2, 2.0), trained(3, 1.9, noise=1))
    found = compare(plan_of(recipe, 3), finished, RunPaths(tmp_path / "run"))
    assert found["winner"] == 2 and (found["n_images"], found["n_patients"], found["n_findings"]) == (N, N, 1)
    first, best, close = found["candidates"]
    assert [one["outcome"] for one in found["candidates"]] == ["finished", "winner", "finished"]
    assert first["to_winner_upper"] < 0, "the same noise and half the skill: clearly worse"
    assert close["to_winner_lower"] < 0 < close["to_winner_upper"], "may be chance"
    assert best["to_winner"] is None


@pytest.mark.parametrize(
    ("losses", "winner"),
    [
        ([0.5, 0.4, 0.45], 2),  # as good in rank, surer
        ([0.5, 0.5, 0.5], 1),  # alike in all: the first
    ],
)
def test_of_equal_scores_the_lower_loss_wins(tmp_path, recipe, trained, losses, winner):
    finished = by_number(*(trained(number, 1.0, loss=loss) for number, loss in enumerate(losses, start=1)))
    assert compare(plan_of(recipe, 3), finished, RunPaths(tmp_path / "run"))["winner"] == winner


def test_where_stressed_views_are_asked_for_they_count_half(tmp_path, recipe, trained):
    plan = plan_of(Recipe.from_dict({**recipe.to_dict(), "train": {**recipe.to_dict()["train"], "stress_views": 1}}), 1)
    one = trained(1, 1.5, n_views=2)
    one = dataclasses.replace(one, recipe_sha256=with_settings(Recipe.from_dict(plan.recipe), one.settings).sha256)
    found = compare(plan, {1: one}, RunPaths(tmp_path / "run"))
    assert found["candidates"][0]["val_score"] != found["candidates"][0]["val_auroc"]
    assert "score" in as_text(found).splitlines()[0] and "half that on 1 stressed views" in summary_of(found)


def test_candidates_on_other_images_are_not_compared_in_pairs(tmp_path, recipe, trained):
    finished = by_number(trained(1, 1.0), trained(2, 2.0))
    path = tmp_path / "1" / "validation.npz"
    logits = ValidationLogits.read(path)
    ValidationLogits(logits.logits[:, 2:], logits.targets[2:], np.arange(N - 2)).write(path)
    finished[1] = dataclasses.replace(finished[1], validation=reference_to(path))
    found = compare(plan_of(recipe, 2), finished, RunPaths(tmp_path / "run"))
    assert found["candidates"][0]["to_winner"] is None and found["candidates"][0]["val_score"] is not None


def test_a_model_of_another_plan_or_a_changed_file_is_refused(tmp_path, recipe, trained):
    paths, plan = RunPaths(tmp_path / "run"), plan_of(recipe, 2)
    with pytest.raises(DataDefect, match="expected a model trained by recipe"):
        compare(plan, {1: trained(1, 1.0, recipe_sha256="cd" * 32)}, paths)
    one = trained(2, 1.0)
    ValidationLogits(np.ones((1, N, 1), np.float32), TARGETS, np.arange(N)).write(tmp_path / "2" / "validation.npz")
    with pytest.raises(DataDefect, match="it was changed after it was written"):
        compare(plan, {2: one}, paths)


def test_a_candidate_that_a_clock_ended_is_called_so(tmp_path, recipe, trained):
    clocked = trained(1, 1.0, stopped_by="20 minutes have passed", was_ended_by_clock=True)
    found = compare(plan_of(recipe, 2), by_number(clocked, trained(2, 2.0)), RunPaths(tmp_path / "run"))
    assert [one["outcome"] for one in found["candidates"]] == ["ended by a clock", "winner"]
    assert "1 ended by a clock: 20 minutes have passed" in as_text(found)


def test_the_table_has_a_line_for_each_and_reasons_below(tmp_path, recipe, trained):
    paths, plan = RunPaths(tmp_path / "run"), plan_of(recipe, 4)
    note = {"name": "seed=3", "settings": {"train.seed": 3}, "reason": "DataDefect: a|b <c>"}
    write_json(paths.stage("train") / "failures" / "3.json", note)
    stopped = trained(1, 1.0, stopped_by="behind the other candidates", was_ended_early=True)
    found = compare(plan, by_number(stopped, trained(2, 2.0)), paths)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    lines = as_text(found).splitlines()
    assert [line.split()[0] for line in lines[2:6]] == ["1", "2", "3", "4"]
    assert [line.split("  ")[-1].strip() for line in lines[2:6]] == ["ended early", "winner", "failed", "failed"]
    assert lines[-3:] == [
        "1 ended early: behind the other candidates", "3 failed: DataDefect: a|b <c>", f"4 failed: {NO_RESULT}",
    ]  # fmt: skip
    assert "120 images of 120 patients" in lines[6] and "DeLong 95 % by patient" in lines[6]
    markdown = as_markdown(found)
    assert markdown.startswith("# Candidates of made\n\n| candidate | what differs | epochs |")
    assert "DataDefect: a\\|b &lt;c>" in markdown and "| 61 | ended early |" in markdown
    assert len({line.count(" | ") for line in markdown.splitlines() if line.startswith("| ")}) == 1

"""The training loop: it learns, keeps the best, stops when it should, and goes on where it was."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cxr_tasks.contracts.errors import DataDefect

pytestmark = pytest.mark.tf


def run_fit(spec, make_split, folder, on_epoch=lambda progress: None, precision="float32"):
    from cxr_tasks.train.loop.fit import fit

    folder.mkdir(exist_ok=True)
    return fit(make_split(48), make_split(20, seed=1), spec, precision=precision, folder=folder, on_epoch=on_epoch)


class Stop(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_it_learns_two_classes(tiny_recipe, make_split, tmp_path, precision):
    spec = dataclasses.replace(tiny_recipe.train, epochs=12)
    fitted = run_fit(spec, make_split, tmp_path, precision=precision)
    first, best = fitted.progress.history[0], fitted.progress.history[fitted.progress.best_epoch - 1]
    assert best["val_auroc"] > 0.95 and best["val_loss"] < first["val_loss"]
    assert {v.dtype for v in fitted.network.weights} == {"float32"}
    assert fitted.network.get_layer("block_2_conv_1").compute_dtype == "float32"


def test_the_kept_network_is_that_of_the_best_epoch(tiny_recipe, make_split, tmp_path):
    from cxr_tasks.train.loop.validation import mean_auroc, predict

    fitted = run_fit(tiny_recipe.train, make_split, tmp_path)
    validation = make_split(20, seed=1)
    found = mean_auroc(validation.labels, predict(lambda x: fitted.network(x, training=False), validation.images))
    scores = [record["val_score"] for record in fitted.progress.history]
    assert fitted.progress.history[fitted.progress.best_epoch - 1]["val_score"] == max(scores)
    assert found == pytest.approx(fitted.progress.history[fitted.progress.best_epoch - 1]["val_auroc"])


def test_learning_rate_warms_up_and_falls(tiny_recipe, make_split, tmp_path):
    spec = dataclasses.replace(tiny_recipe.train, epochs=5, warmup_epochs=2.0)
    rates = [record["learning_rate"] for record in run_fit(spec, make_split, tmp_path).progress.history]
    assert rates[0] < rates[1] == pytest.approx(spec.learning_rate, rel=1e-3)
    assert rates[1] > rates[2] > rates[3] > rates[4] and rates[4] < 1e-6


def test_a_run_taken_up_again_and_again_ends_with_the_same_bits(tiny_recipe, make_split, tmp_path):
    never_stopped = run_fit(tiny_recipe.train, make_split, tmp_path / "a")

    def stop(progress):
        if progress.epochs_run in {1, 3}:
            raise Stop

    for _ in range(2):
        with pytest.raises(Stop):
            run_fit(tiny_recipe.train, make_split, tmp_path / "b", stop)
    seen = []
    resumed = run_fit(tiny_recipe.train, make_split, tmp_path / "b", lambda p: seen.append(p.epochs_run))
    assert seen == [4]
    pairs = zip(never_stopped.network.get_weights(), resumed.network.get_weights(), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)
    timings = {"seconds", "images_per_second"}
    plain = [
        [{k: v for k, v in r.items() if k not in timings} for r in f.progress.history] for f in (never_stopped, resumed)
    ]
    assert plain[0] == plain[1]
    assert never_stopped.progress.best_epoch == resumed.progress.best_epoch


def test_without_a_better_score_training_ends_early(tiny_recipe, make_split, tmp_path):
    spec = dataclasses.replace(
        tiny_recipe.train, learning_rate=1e-8, epochs=30, early_stopping_patience=2, ema_momentum=None
    )
    progress = run_fit(spec, make_split, tmp_path).progress
    assert progress.epochs_run == progress.best_epoch + 2 < 30
    assert "no better validation score" in progress.stopped_by and not progress.was_ended_by_clock


def test_after_its_time_training_ends_with_the_epoch(tiny_recipe, make_split, tmp_path):
    spec = dataclasses.replace(tiny_recipe.train, max_minutes=1e-6)
    progress = run_fit(spec, make_split, tmp_path).progress
    assert progress.epochs_run == 1 and "minutes have passed" in progress.stopped_by and progress.was_ended_by_clock
    again = run_fit(spec, make_split, tmp_path).progress
    assert again.epochs_run == 1  # finished: nothing is trained again


def test_a_loss_that_is_not_finite_stops_with_advice(tiny_recipe, make_split, tmp_path):
    from cxr_tasks.datasets.load import LoadedSplit

    class Broken:
        def __call__(self, n, seed=0):
            split = make_split(n, seed)
            labels = split.labels.copy()
            labels[0] = np.inf
            return LoadedSplit(split.images, labels, split.states)

    spec = dataclasses.replace(tiny_recipe.train, imbalance="none")
    with pytest.raises(DataDefect, match="expected a finite training loss"):
        run_fit(spec, Broken(), tmp_path)


def test_a_state_of_another_network_is_refused(tiny_recipe, make_split, tmp_path):
    run_fit(dataclasses.replace(tiny_recipe.train, epochs=1), make_split, tmp_path)
    other = dataclasses.replace(tiny_recipe.train, network_options={"widths": [4, 6]})
    with pytest.raises(DataDefect, match="fits another network"):
        run_fit(other, make_split, tmp_path)

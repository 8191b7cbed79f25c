"""Starting weights learnt from drawn X-rays: trained once, taken by every training that asks for the same."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pytest

from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.contracts.train_specs import AugmentSpec, PhantomSpec, TrainSpec
from cxr_tasks.train.phantom_weights import fetch_phantom_weights, phantom_training
from cxr_tasks.train.weights.starting_weights import PHANTOM_FILE, check_starting_weights, weights_root

pytestmark = pytest.mark.tf


@pytest.fixture
def recipe(tiny_recipe) -> Recipe:
    train = TrainSpec(
        network="residual_cnn",
        network_options={"widths": [4, 8]},
        starting_weights="phantoms",
        phantoms=PhantomSpec(n_images=100, epochs=2, learning_rate=3e-3),
        epochs=3,
        batch_size=16,
        seed=7,
        augment=AugmentSpec(shift=0.05),
    )
    return dataclasses.replace(tiny_recipe, pixels=PixelSpec(size_px=32), train=train)


@pytest.fixture
def fitted(monkeypatch):
    """Specs of the trainings that took place, in a list that fills."""
    from cxr_tasks.train.loop import fit

    specs = []
    own = fit.fit

    def noted(train, validation, spec, **how):
        specs.append(spec)
        return own(train, validation, spec, **how)

    monkeypatch.setattr(fit, "fit", noted)
    return specs


def fetched(recipe, folder) -> tuple[dict[str, float], bytes]:
    folder.mkdir()
    reached = fetch_phantom_weights(recipe, "float32", folder)
    return reached, (folder / PHANTOM_FILE).read_bytes()


def weights_in(folder) -> list[np.ndarray]:
    import keras

    return keras.saving.load_model(folder / PHANTOM_FILE).get_weights()


def test_they_are_trained_once_and_then_taken(recipe, cxr_home, tmp_path, fitted, caplog):
    with caplog.at_level(logging.INFO):
        first, weights = fetched(recipe, tmp_path / "one")
    assert "100 drawn X-rays are learnt from first" in caplog.text
    assert "phantoms: epoch 2/2" in caplog.text
    assert 0 < first["val_auroc"] < 1
    assert first["epochs_run"] == 2
    # What only the training itself is about has no part in it.
    other = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, epochs=9, test_time_flip=True))
    assert fetched(other, tmp_path / "two") == (first, weights)
    assert len(fitted) == 1
    (stored,) = (weights_root() / "phantoms").iterdir()
    assert sorted(one.name for one in stored.iterdir()) == ["lock", PHANTOM_FILE, "reached.json"]


@pytest.mark.parametrize(
    "change",
    [{"phantoms": PhantomSpec(n_images=120, epochs=2)}, {"network_options": {"widths": [4, 6]}}, {"seed": 8}],
)
def test_what_they_depend_on_makes_others(recipe, cxr_home, tmp_path, fitted, change):
    fetched(recipe, tmp_path / "one")
    fetched(dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, **change)), tmp_path / "two")
    # The seed of the training itself is not that of the phantoms.
    assert len(fitted) == (1 if "seed" in change else 2)


def test_one_that_was_killed_goes_on(recipe, cxr_home, tmp_path, monkeypatch):
    from cxr_tasks.train.loop import fit, watch

    whole, expected = fetched(recipe, tmp_path / "whole")[0], weights_in(tmp_path / "whole")
    for file in next((weights_root() / "phantoms").iterdir()).iterdir():
        file.unlink()

    def killed(progress, epochs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(watch, "epoch_line", killed)
        with pytest.raises(KeyboardInterrupt):
            fetch_phantom_weights(recipe, "float32", tmp_path)
    epochs = []
    own = fit.Trainer.run_epoch
    monkeypatch.setattr(
        fit.Trainer, "run_epoch", lambda self, epoch, batches: epochs.append(epoch) or own(self, epoch, batches)
    )
    reached, _ = fetched(recipe, tmp_path / "again")
    assert epochs == [2]
    assert reached["val_auroc"] == whole["val_auroc"]
    assert all(np.array_equal(a, b) for a, b in zip(weights_in(tmp_path / "again"), expected, strict=True))


def test_training_begins_with_their_backbone_and_a_head_of_its_own(recipe, cxr_home, tmp_path, caplog):
    import keras

    from cxr_tasks.train.networks.networks import build_network
    from cxr_tasks.train.weights.load_weights import load_starting_weights

    fetched(recipe, tmp_path / "work")
    learnt = keras.saving.load_model(tmp_path / "work" / PHANTOM_FILE)
    options = recipe.train.network_options
    # As many findings as the phantoms have: their head would fit.
    network = build_network("residual_cnn", size_px=32, n_findings=14, options=options, seed=1)
    head = network.get_layer("head").get_weights()
    with caplog.at_level(logging.INFO):
        load_starting_weights(network, recipe.train, tuple("abcdefghijklmn"), tmp_path / "work")
    assert "the head is fresh" in caplog.text
    for layer, other in zip(network.layers, learnt.layers, strict=True):
        expected = head if layer.name == "head" else other.get_weights()
        assert all(np.array_equal(a, b) for a, b in zip(layer.get_weights(), expected, strict=True)), layer.name


def test_the_training_on_phantoms_is_one_plain_phase(recipe):
    spec = phantom_training(dataclasses.replace(recipe.train, sampling="class_aware", max_minutes=1.0))
    assert (spec.starting_weights, spec.sampling, spec.max_minutes, spec.epochs) == ("none", "shuffled", None, 2)
    assert (spec.augment, spec.batch_size) == (recipe.train.augment, 16)


def test_nothing_has_to_be_there_for_them(recipe, cxr_home):
    check_starting_weights(recipe.train)

"""A recipe made for a GPU does not begin on a CPU unaware."""

from __future__ import annotations

import dataclasses
import re

import pytest

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.recipes import load_recipe, recipe_names
from cxr_tasks.train import devices
from cxr_tasks.train.devices import cpu_hours, forward_macs, require_device

FOR_GPU = ["chexpert_cnn", "chexpert_densenet121", "nih_cnn", "nih_densenet121"]


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    monkeypatch.setattr(devices, "why_no_gpu", lambda: "no driver of a GPU is loaded")


def test_the_shipped_recipes_that_need_a_gpu_say_so():
    assert [name for name in recipe_names() if load_recipe(name).train.made_for == "gpu"] == FOR_GPU
    assert not any(load_recipe(name).train.allow_cpu for name in recipe_names())


@pytest.mark.parametrize("name", FOR_GPU)
@pytest.mark.parametrize("n_images", [None, 70_000])
def test_on_a_cpu_it_is_refused_with_the_hours_it_would_take(name, n_images):
    with pytest.raises(ConfigurationError) as refused:
        require_device(load_recipe(name), n_images=n_images)
    text = str(refused.value)
    assert text.startswith(f"recipe {name} is made for a GPU: expected one, found none (no driver of a GPU is loaded)")
    hours = int(re.search(r"would take about (\d+) hours", text)[1])
    assert 1 <= hours < 1000
    assert ("of the published set" if n_images is None else "70,000 images would") in text
    for told in ("cxr trigger --allow-cpu", "'Allow CPU' in the trigger form", "train.allow_cpu: true"):
        assert told in text


def test_who_is_told_and_allows_it_may():
    recipe = load_recipe("nih_densenet121")
    require_device(recipe.with_overrides(allow_cpu=True))
    require_device(dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, allow_cpu=True)), n_gpus=0)
    allowed = recipe.with_overrides(allow_cpu=True)
    assert allowed.with_overrides(allow_cpu=False).train.allow_cpu  # an empty box takes nothing back


def test_with_a_gpu_and_for_other_recipes_nothing_is_asked(monkeypatch):
    require_device(load_recipe("nih_densenet121"), n_gpus=1)
    require_device(load_recipe("kermany_cnn"), n_gpus=0)
    monkeypatch.setattr(devices, "why_no_gpu", lambda: "")
    require_device(load_recipe("nih_densenet121"))  # files speak for a GPU: TensorFlow has the last word
    with pytest.raises(ConfigurationError, match="TensorFlow finds none though a driver and libraries are there"):
        require_device(load_recipe("nih_densenet121"), n_gpus=0)


def test_the_estimate_is_near_what_was_measured(monkeypatch):
    """kermany_cnn, 1,400 images of which 935 to train on: 540 processor seconds, validation included."""
    monkeypatch.setattr(devices, "cpu_flags", lambda: frozenset({"avx512_bf16"}))
    found = cpu_hours(load_recipe("kermany_cnn"), 935, 1) * 3600
    assert 540 / 2 < found < 540 * 2


def test_hours_follow_from_images_epochs_and_processors():
    recipe = load_recipe("nih_densenet121")
    one = cpu_hours(recipe, 70_000, 1)
    assert cpu_hours(recipe, 140_000, 1) == pytest.approx(2 * one)
    assert cpu_hours(recipe, 70_000, 8) == pytest.approx(one / 8)
    head_alone = recipe.with_overrides(epochs=8)  # features are computed once
    assert cpu_hours(head_alone, 70_000, 1) < one / 20


def test_work_of_a_network_follows_its_convolutions():
    """By hand: a stem of 5x5 on 64 x 64, then a block of two 3x3 and no shortcut on the same."""
    recipe = load_recipe("kermany_cnn")
    train = dataclasses.replace(recipe.train, network_options={"widths": [8]})
    assert forward_macs(train, 128) == 64 * 64 * (25 * 8 + 2 * 9 * 8 * 8)
    assert forward_macs(load_recipe("nih_densenet121").train, 112) == pytest.approx(2.9e9 / 4)


@pytest.mark.tf
@pytest.mark.mlflow
def test_a_training_that_tensorflow_finds_no_gpu_for_does_not_begin(cxr_home, prepare_tiny, tiny_recipe):
    from cxr_tasks.installation.storage.paths import RunPaths
    from cxr_tasks.train.candidate import train_candidate

    recipe = dataclasses.replace(tiny_recipe, train=dataclasses.replace(tiny_recipe.train, made_for="gpu"))
    with pytest.raises(ConfigurationError, match=r"is made for a GPU: .* 32 images would take less than an hour"):
        train_candidate(prepare_tiny(recipe), recipe, RunPaths.for_run("t", "1"), run_name="x")

"""What a training cannot do without is looked for before anything starts, and before its data are read."""

from __future__ import annotations

import dataclasses
import socket

import pytest

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.label_policies import LabelSpec
from cxr_tasks.contracts.recipes import Recipe, load_recipe
from cxr_tasks.train.candidates.checks import check_training
from cxr_tasks.train.weights import starting_weights


def recipe_with(**train) -> Recipe:
    recipe = load_recipe("synthetic_multilabel")
    return dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, **train))


@pytest.mark.parametrize("name", ["synthetic_binary", "kermany_cnn", "nih_sample_densenet121"])
def test_recipes_that_need_nothing_from_elsewhere_pass(cxr_home, name):
    (planned,) = check_training(load_recipe(name))
    assert (planned.number, planned.settings) == (1, {})


def test_no_network_and_no_file_is_an_error(cxr_home, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setattr(starting_weights, "IMAGENET_URL", f"http://127.0.0.1:{port}/weights.h5")
    with pytest.raises(ConfigurationError, match=r"imagenet: expected .*cannot be downloaded from here"):
        check_training(load_recipe("nih_densenet121").with_overrides(allow_cpu=True))


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"starting_weights": "absent.keras"}, r"train.starting_weights: expected the file .*absent\.keras"),
        ({"labels": LabelSpec(first_model="absent.keras")}, "train.labels.first_model: expected models:/NAME/VERSION"),
        ({"labels": LabelSpec(first_model="models:/cxr_multilabel/one")}, "train.labels.first_model"),
    ],
)
def test_what_is_not_there_is_named_with_its_setting(cxr_home, train, message):
    with pytest.raises(ConfigurationError, match=message):
        check_training(recipe_with(**train))


def test_each_candidate_is_looked_at(cxr_home):
    recipe = dataclasses.replace(recipe_with(), candidates=({}, {"train.labels.first_model": "absent.keras"}))
    with pytest.raises(ConfigurationError, match="train.labels.first_model"):
        check_training(recipe)


@pytest.mark.mlflow
@pytest.mark.parametrize(
    "train",
    [
        {"starting_weights": "models:/cxr_multilabel/3"},
        {"labels": LabelSpec(first_model="models:/cxr_multilabel/3")},
    ],
)
def test_former_versions_are_looked_for_in_the_registry_only_where_it_is_asked(cxr_home, train):
    recipe = recipe_with(**train)
    check_training(recipe, asks_registry=False)
    with pytest.raises(ConfigurationError, match="expected version 3 of cxr_multilabel in the registry"):
        check_training(recipe)

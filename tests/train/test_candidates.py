from __future__ import annotations

import dataclasses

import pytest

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.recipes import Recipe, load_recipe
from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.contracts.train_specs import PhaseSpec, SearchSpec
from cxr_tasks.train.candidates.candidates import candidates_of, datasets_needed, name_of
from cxr_tasks.train.candidates.recipe_settings import with_settings


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe("kermany_cnn")


def listing(recipe: Recipe, *candidates: dict) -> Recipe:
    """As a YAML file would give it."""
    return Recipe.from_dict({**recipe.to_dict(), "candidates": list(candidates)})


def with_phases(recipe: Recipe) -> Recipe:
    phases = (
        PhaseSpec(name="head", epochs=2, learning_rate=1e-3, unfrozen_blocks=0),
        PhaseSpec(name="all", epochs=3, learning_rate=1e-4),
    )
    return dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, phases=phases))


def test_each_candidate_is_a_whole_recipe_that_differs_in_what_it_says(recipe):
    settings = {"train.learning_rate": 3e-4, "train.loss.kind": "focal", "train.labels.uncertain": "ones"}
    first, second, third = candidates_of(listing(recipe, {}, settings, {"train.seed": 2, "pixels.size_px": 160}))
    assert (first.number, first.name, first.recipe) == (1, "recipe as it is", recipe)
    assert second.name == "learning_rate=0.0003 loss.kind=focal labels.uncertain=ones" and second.settings == settings
    train = second.recipe.train
    assert (train.learning_rate, train.loss.kind, train.labels.uncertain) == (3e-4, "focal", "ones")
    assert (
        dataclasses.replace(
            train, learning_rate=recipe.train.learning_rate, loss=recipe.train.loss, labels=recipe.train.labels
        )
        == recipe.train
    )
    assert third.name == "seed=2 size_px=160"
    assert third.recipe == dataclasses.replace(
        recipe, train=dataclasses.replace(recipe.train, seed=2), pixels=PixelSpec(size_px=160)
    )


def test_a_recipe_without_candidates_is_its_only_one(recipe):
    (only,) = candidates_of(recipe)
    assert only.recipe == recipe and only.settings == {} and only.recipe.sha256 == recipe.sha256


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train.learningrate": 1e-3}, "'train.learningrate' is not known; did you mean 'train.learning_rate'?"),
        ({"train.loss.knd": "focal"}, "did you mean 'train.loss.kind'?; known below train.loss: kind, gamma,"),
        ({"loss.kind": "focal"}, "'loss.kind' is not open to candidates; did you mean 'train.loss.kind'?"),
        ({"train.loss.kind": "focl"}, "candidate 1.train.loss.kind: 'focl' is not known; did you mean 'focal'?"),
        ({"train.seed.low": 1}, "train.seed holds no settings"),
        ({"train.learning_rate": "3e-4"}, "expected float, found str '3e-4'"),  # how YAML reads 3e-4
        ({"train.learning_rate": 100.0}, "learning_rate: expected a value from 1e-08 to 10, found 100.0"),
        ({"train.labels.uncertain_by_finding.oedema": "ones"}, "'oedema' is no finding of this vocabulary"),
        # what candidates are measured by is the same for all
        ({"gate.auroc_floor": 0.6}, "'gate.auroc_floor' is not open to candidates"),
        ({"split.validation": 0.5}, "'split.validation' is not open to candidates"),
        ({"train.stress_views": 0}, "train.stress_views is not open to candidates"),
        ({"train.labels": {"unmentioned": "ignore"}}, "train.labels.unmentioned is not open to candidates"),
    ],
)
def test_a_wrong_setting_is_named(recipe, settings, message):
    with pytest.raises(ConfigurationError) as caught:
        candidates_of(listing(recipe, settings))
    assert "recipe kermany_cnn, candidate 1" in str(caught.value)
    assert message in str(caught.value)


def test_phases_are_named_by_their_name_or_number(recipe):
    changed = with_settings(with_phases(recipe), {"train.phases.head.epochs": 7, "train.phases.1.learning_rate": 2e-4})
    assert [(one.name, one.epochs, one.learning_rate) for one in changed.train.phases] == [
        ("head", 7, 1e-3), ("all", 3, 2e-4),
    ]  # fmt: skip
    with pytest.raises(ConfigurationError, match="did you mean 'train.phases.head'"):
        with_settings(with_phases(recipe), {"train.phases.haed.epochs": 7})


def test_a_setting_without_effect_is_refused(recipe):
    """Phases have learning rates of their own: candidates by ``train.learning_rate`` would all be the same network."""
    with pytest.raises(ConfigurationError, match=r"train\.learning_rate has no effect .* train\.phases\.head"):
        with_settings(with_phases(recipe), {"train.learning_rate": 1e-3})


def test_two_candidates_are_not_the_same(recipe):
    with pytest.raises(ConfigurationError, match="candidates 2 and 3 are the same"):
        candidates_of(listing(recipe, {}, {"train.seed": 2}, {"train.seed": 2}))
    with pytest.raises(ConfigurationError, match="candidates 1 and 2 are the same"):
        candidates_of(listing(recipe, {}, {"train.seed": recipe.train.seed}))


def test_a_list_and_a_search_do_not_go_together(recipe):
    search = SearchSpec(n_candidates=2, space={"train.seed": [1, 2]})
    with pytest.raises(ConfigurationError, match="found a search space and a list of candidates"):
        candidates_of(dataclasses.replace(listing(recipe, {"train.seed": 2}), search=search))


@pytest.mark.parametrize(
    ("changes", "sizes"),
    [
        ({}, [128]),
        (
            {"candidates": [{"train.seed": 2}, {"pixels.size_px": 160}, {"pixels.size_px": 160, "train.seed": 3}]},
            [128, 160],
        ),
        ({"search": {"n_candidates": 2, "space": {"pixels.size_px": [96, 160], "train.seed": [1, 2]}}}, [128, 96, 160]),
    ],
)
def test_each_resolution_is_a_dataset_of_its_own(recipe, changes, sizes):
    needed = datasets_needed(Recipe.from_dict({**recipe.to_dict(), **changes}))
    assert needed == [PixelSpec(size_px=size) for size in sizes]


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "recipe as it is"),
        ({"train.learning_rate": 0.00031234567}, "learning_rate=0.000312346"),
        ({"train.network_options.widths": [8, 16]}, "network_options.widths=[8, 16]"),
        ({"train.clip_norm": None, "train.test_time_flip": True}, "clip_norm=null test_time_flip=true"),
    ],
)
def test_a_name_says_what_differs(settings, name):
    assert name_of(settings) == name

from __future__ import annotations

import dataclasses

import pytest

from cxr_tasks.contracts.artifacts import sha256_json
from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.recipes import RECIPES_FOLDER, Recipe, load_recipe, recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipes_load_and_round_trip(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert Recipe.from_dict(recipe.to_dict()) == recipe


@pytest.mark.parametrize("name", recipe_names())
def test_no_shipped_recipe_is_ended_by_a_clock(name):
    """On a busy machine kermany_cnn ended at 0.951 instead of 0.96 to 0.97."""
    recipe = load_recipe(name)
    asked = [recipe.to_dict(), *recipe.candidates, recipe.search.space if recipe.search else {}]
    assert recipe.train.max_minutes is None and not any("train.max_minutes" in one for one in asked)


def test_a_misspelt_name_is_answered_with_the_nearest():
    with pytest.raises(ConfigurationError, match="did you mean 'kermany_cnn'"):
        load_recipe("kermany_cn")


def test_a_path_that_climbs_out_is_no_recipe_name():
    with pytest.raises(ConfigurationError, match="is not known"):
        load_recipe("../../../etc/passwd")


def test_overrides_change_only_what_was_given():
    recipe = load_recipe("kermany_cnn")
    assert recipe.with_overrides() == recipe
    changed = recipe.with_overrides(epochs=3, gate_floor=0.8)
    assert (changed.train.epochs, changed.gate_floor) == (3, 0.8)
    assert changed.with_overrides(epochs=4).gate_floor == 0.8
    assert changed.dataset == recipe.dataset
    assert changed.sha256 != recipe.sha256


@pytest.mark.parametrize(("epochs", "lengths"), [(1, [1]), (9, [8, 1]), (12, [8, 2, 2]), (99, [8, 2, 12])])
def test_fewer_epochs_hold_for_a_recipe_with_phases_too(epochs, lengths):
    """The form's field counted for nothing there: phases have epochs of their own."""
    changed = load_recipe("nih_densenet121").with_overrides(epochs=epochs)
    assert [one.epochs for one in changed.train.phases] == lengths
    assert [one.name for one in changed.train.phases] == ["head", "top", "all"][: len(lengths)]


def test_a_recipe_says_nothing_of_the_gate(tmp_path):
    shipped = RECIPES_FOLDER / "kermany_cnn.yaml"
    for line in ("gate: {auroc_floor: 0.6}", "gate_floor: 0.6"):
        path = tmp_path / "mine.yaml"
        path.write_text(f"{shipped.read_text()}\n{line}\n")
        with pytest.raises(ConfigurationError, match="stands in the policy of its model_name in cxr_tasks/policies"):
            load_recipe(path)


def test_what_was_recorded_before_policies_can_still_be_read():
    recipe = load_recipe("kermany_cnn")
    assert Recipe.from_dict({**recipe.to_dict(), "gate": {"auroc_floor": 0.9}}) == recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model_name: [", "expected YAML"),
        ("- a", "expected a mapping, found list"),
        ("model_name: cxr_binari", "'cxr_binari' is not known; did you mean 'cxr_binary'?"),
    ],
)
def test_a_broken_file_is_named(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_recipe(path)
    assert "mine.yaml" in str(caught.value)
    assert message in str(caught.value)


def test_values_out_of_range_are_refused():
    with pytest.raises(ConfigurationError, match="gate_floor: expected a value from 0.5 to 1.0, found 0.3"):
        load_recipe("kermany_cnn").with_overrides(gate_floor=0.3)


@pytest.mark.parametrize(
    ("written", "proposed"),
    [
        ("my-hospital", "my_hospital"),
        ("2024_set", "set_2024_set"),
        ("my hospital", "my_hospital"),
        ("../escape", "escape"),  # made var/escape
        ("..", "set"),
        ("/tmp/escape", "tmp_escape"),
        ("a/b", "a_b"),
        ("a\\\\b", "a_b"),  # one backslash, in YAML
        ("con.fig", "con_fig"),
        ("", "set"),
        (".hidden", "hidden"),
        ("_set", "set"),
        ("kliník", "klin_k"),
        ("name@1f2e", "name_1f2e"),  # commands take NAME@FINGERPRINT
        ("set\\n", "set"),  # a line break at the end
        ("x" * 65, "x" * 60),
        ("x" * 300, "x" * 60),
    ],
)
def test_a_dataset_name_that_no_folder_or_tfds_can_hold_is_an_error_when_the_recipe_is_read(
    tmp_path, written, proposed
):
    text = (RECIPES_FOLDER / "kermany_cnn.yaml").read_text()
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("{name: kermany,", f'{{name: "{written}",'))
    with pytest.raises(ConfigurationError, match=f"expected a name for the dataset .*; '{proposed}' can be one"):
        load_recipe(path)


@pytest.mark.parametrize("name", ["kermany", "A", "Hospital_2", "x" * 64])
def test_other_dataset_names_are_taken(tmp_path, name):
    text = (RECIPES_FOLDER / "kermany_cnn.yaml").read_text()
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("{name: kermany,", f'{{name: "{name}",'))
    assert load_recipe(path).dataset.name == name


def test_a_dataset_name_that_is_a_number_is_named(tmp_path):
    text = (RECIPES_FOLDER / "kermany_cnn.yaml").read_text()
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("{name: kermany,", "{name: 2024,"))
    with pytest.raises(ConfigurationError, match=r"dataset\.name: expected str, found int 2024"):
        load_recipe(path)


@pytest.mark.data
def test_the_names_of_the_cases_are_refused(shared_data, tmp_path):
    recipes = sorted((shared_data / "cases" / "recipe_dataset_names").glob("recipe*.yaml.txt"))
    assert len(recipes) == 6
    for number, one in enumerate(recipes):
        path = tmp_path / f"recipe{number}.yaml"
        path.write_text(one.read_text())
        with pytest.raises(ConfigurationError, match="can be one"):
            load_recipe(path)


def test_a_recipe_of_before_a_setting_came_is_the_same_recipe():
    recipe = load_recipe("synthetic_binary")
    assert "devices" not in recipe.to_dict()["train"] and recipe.sha256 == sha256_json(recipe.to_dict())
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    on_all = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, devices="all"))
    assert on_all.sha256 != recipe.sha256 and Recipe.from_dict(on_all.to_dict()) == on_all

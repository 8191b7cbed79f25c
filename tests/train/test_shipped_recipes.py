"""Recipes for data that is not here, on a few phantoms in its layout: from their tables to a trained model."""

from __future__ import annotations

import dataclasses

import pytest

from cxr_tasks.contracts.handoffs.dataset import ValidatedStudies
from cxr_tasks.contracts.recipes import Recipe, load_recipe
from cxr_tasks.installation.storage.files import reference_to, verified_path
from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.sources.phantoms.layouts.layouts import LAYOUTS
from cxr_tasks.sources.phantoms.layouts.options import SyntheticOptions

#: Tracing DenseNet121 anew for each phase would take minutes, a step without takes a second.
pytestmark = [pytest.mark.tf, pytest.mark.mlflow, pytest.mark.usefixtures("op_by_op")]


def shortened(name: str) -> Recipe:
    """The recipe with all its settings but those that make it long: one small epoch per phase, from fresh weights."""
    recipe = load_recipe(name)
    phases = tuple(dataclasses.replace(one, epochs=1) for one in recipe.train.phases)
    train = dataclasses.replace(
        recipe.train,
        starting_weights="none",
        allow_cpu=True,
        epochs=1,
        batch_size=16,
        precision="float32",
        phases=phases,
    )
    pixels = dataclasses.replace(recipe.pixels, size_px=64)
    return Recipe.from_dict(dataclasses.replace(recipe, train=train, pixels=pixels).to_dict())


@pytest.mark.parametrize(
    ("name", "layout", "n_phases"),
    [
        ("nih_cnn", "nih", 1),
        ("nih_densenet121", "nih", 3),
        ("nih_sample_densenet121", "nih", 1),
        ("chexpert_cnn", "chexpert", 1),
        ("chexpert_densenet121", "chexpert", 2),
    ],
)
def test_a_recipe_trains_on_a_small_dataset_in_its_layout(cxr_home, tmp_path, name, layout, n_phases):
    from cxr_tasks.prepare.stage import prepare_dataset
    from cxr_tasks.sources.synthetic import write_phantoms
    from cxr_tasks.train.candidate import train_candidate
    from tests.ingest.folders import ingest_source

    recipe, paths = shortened(name), RunPaths.for_run("shipped_recipes", name)
    write_phantoms(tmp_path, SyntheticOptions(layout=layout, n_images=60, size_px=96))
    ingested = ingest_source(recipe, str(tmp_path / LAYOUTS[layout].data_folder), paths)
    assert ingested.n_images > 40
    # So few images would rightly fail validation, which has tests of its own.
    (tmp_path / "profile.json").write_text("{}")
    studies = ValidatedStudies(
        dataset=ingested.dataset,
        root=ingested.root,
        manifest=ingested.manifest,
        validation=ingested.manifest,
        profile=reference_to(tmp_path / "profile.json"),
        data_docs="",
        n_expectations=0,
        n_warnings=0,
    )
    trained = train_candidate(prepare_dataset(studies, recipe, paths), recipe, paths, run_name=name)
    assert (trained.epochs_run, trained.stopped_by) == (n_phases, "")
    assert verified_path(trained.model).stat().st_size > 100_000

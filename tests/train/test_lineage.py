"""Weights that begin with another model's have seen its training images too."""

from __future__ import annotations

import dataclasses
import hashlib

import pandas as pd
import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.serving_contract import FindingDecision, ServingContract

pytestmark = [pytest.mark.tf, pytest.mark.mlflow]


@pytest.fixture
def prepared(cxr_home, prepare_tiny, tiny_recipe):
    return prepare_tiny(tiny_recipe)


@pytest.fixture
def register(prepared, tiny_recipe, tmp_path):
    """Version 1 of ``cxr_binary``, trained on the images of a table; without one its dataset is all that is known."""
    from cxr_tasks.datasets.content import write_rows_of_content
    from cxr_tasks.registry import tracking, version_files
    from cxr_tasks.train.networks.networks import build_network

    def make(seen: pd.DataFrame | None, dataset: str = "elsewhere", fingerprint: str = "e" * 64) -> None:
        path = tmp_path / "model.keras"
        options = tiny_recipe.train.network_options
        build_network("residual_cnn", size_px=16, n_findings=1, options=options, seed=1).save(path)
        contract = ServingContract(
            model_name="cxr_binary",
            pixels=tiny_recipe.pixels,
            decisions=(FindingDecision(finding="pneumonia", a=1.0, b=0.0, threshold=0.5),),
            dataset=dataset,
            dataset_fingerprint=fingerprint,
            recipe="made",
            recipe_sha256="0" * 64,
        )
        with tracking.open_run("cxr_binary", "train") as run:
            if seen is not None:
                write_rows_of_content(tmp_path / "trained_on.parquet", seen)
                run.artifact(tmp_path / "trained_on.parquet")
        version_files.register(
            model_name="cxr_binary", run_id=run.run_id, model_path=path, contract=contract, tags={}, work=tmp_path
        )

    return make


def elsewhere(content):
    """The rows as other images of other patients, of a source of another name."""
    digest = [hashlib.sha256(one.encode()).hexdigest() for one in content["file_sha256"]]
    return content.assign(
        source="elsewhere", file_sha256=digest, pixel_hash=[one[:32] for one in digest], perceptual_hash=digest
    )


def starting_from(recipe, setting):
    train = recipe.train
    if setting == "train.starting_weights":
        return dataclasses.replace(train, starting_weights="models:/cxr_binary/1")
    return dataclasses.replace(train, labels=dataclasses.replace(train.labels, first_model="models:/cxr_binary/1"))


SETTINGS = ("train.starting_weights", "train.labels.first_model")


def write(prepared, spec, folder):
    from cxr_tasks.train.lineage import write_lineage

    folder.mkdir(exist_ok=True)
    return write_lineage(prepared, spec, folder)


def test_a_training_from_scratch_has_seen_its_own_images(prepared, tiny_recipe, tmp_path):
    from cxr_tasks.datasets.content import read_rows_of_content

    assert write(prepared, tiny_recipe.train, tmp_path / "t") == []
    rows = read_rows_of_content(tmp_path / "t" / "trained_on.parquet")
    assert rows["split"].value_counts().to_dict() == {"train": 32, "validation": 8}


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_model_that_has_seen_the_test_images_is_refused(prepared, register, tiny_recipe, tmp_path, setting):
    """The very images under another dataset's name; before, nothing was looked at."""
    from cxr_tasks.datasets.content import content_of_splits

    test = content_of_splits(prepared, ["test"]).iloc[:3].assign(source="elsewhere", pixel_hash="", perceptual_hash="")
    register(pd.concat([elsewhere(content_of_splits(prepared, ["train"])), test]))
    with pytest.raises(DataDefect, match=f"{setting}: expected a model that has not seen the test images") as refused:
        write(prepared, starting_from(tiny_recipe, setting), tmp_path / "t")
    assert "3 of 8 test images are of images or patients that models:/cxr_binary/1 was trained on" in str(refused.value)


@pytest.mark.parametrize("setting", SETTINGS)
def test_what_an_ancestor_has_seen_stays_with_the_model(prepared, register, tiny_recipe, tmp_path, setting):
    from cxr_tasks.datasets.content import content_of_splits, read_rows_of_content

    register(elsewhere(content_of_splits(prepared, ["train"])))
    assert write(prepared, starting_from(tiny_recipe, setting), tmp_path / "t") == []
    rows = read_rows_of_content(tmp_path / "t" / "trained_on.parquet")
    assert rows["source"].value_counts().to_dict() == {"synthetic": 40, "elsewhere": 32}


def test_of_an_ancestor_without_a_record_its_dataset_tells(prepared, register, tiny_recipe, tmp_path):
    register(None, prepared.dataset, prepared.fingerprint)
    assert write(prepared, starting_from(tiny_recipe, SETTINGS[0]), tmp_path / "t") == []


def test_of_an_ancestor_that_nothing_is_known_of_that_is_said(prepared, register, tiny_recipe, tmp_path):
    register(None)
    (remark,) = write(prepared, starting_from(tiny_recipe, SETTINGS[0]), tmp_path / "t")
    assert remark.name == "starting_weights"
    assert "models:/cxr_binary/1: what it was trained on is not recorded here" in remark.sentence
    assert "elsewhere" in remark.sentence
    spec = dataclasses.replace(tiny_recipe.train, starting_weights="mine.keras")
    (remark,) = write(prepared, spec, tmp_path / "t")
    assert remark.sentence.startswith("train.starting_weights is mine.keras: what it was trained on is not recorded")


def test_validation_images_that_an_ancestor_learnt_from_are_said(prepared, register, tiny_recipe, tmp_path):
    from cxr_tasks.datasets.content import content_of_splits

    register(content_of_splits(prepared, ["validation"]).assign(split="train"))
    (remark,) = write(prepared, starting_from(tiny_recipe, SETTINGS[0]), tmp_path / "t")
    assert remark.sentence.startswith("8 of 8 validation images are of images or patients that models:/cxr_binary/1")
    assert "chosen on images that are not new to the model" in remark.sentence

"""The champion is scored on the candidate's rows with its own pixels, or the gate hears why not."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cxr_tasks.contracts.errors import ServiceUnavailable
from cxr_tasks.contracts.handoffs.dataset import ValidatedStudies
from cxr_tasks.contracts.recipes import Recipe, load_recipe
from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.datasets.content import content_of_splits
from cxr_tasks.installation.storage.files import read_json, reference_to, write_json
from cxr_tasks.installation.storage.paths import RunPaths

pytestmark = pytest.mark.tf


@pytest.fixture
def prepared(cxr_home):
    """A small synthetic dataset prepared at 32 px, with its recipe."""
    from cxr_tasks.prepare.stage import prepare_dataset
    from tests.ingest.folders import ingest_source

    mapping = load_recipe("synthetic_binary").to_dict()
    mapping["dataset"]["options"] = {"n_images": 90, "seed": 5, "size_px": 128}
    mapping["pixels"] = {"size_px": 32, "fit": "stretch"}
    recipe = Recipe.from_dict(mapping)
    paths = RunPaths(cxr_home / "runs" / "made")
    ingested = ingest_source(recipe, None, paths)
    facts = paths.stage("validate") / "validation.json"
    write_json(facts, {})
    validated = ValidatedStudies(
        dataset=ingested.dataset,
        root=ingested.root,
        manifest=ingested.manifest,
        validation=reference_to(facts),
        data_docs="",
        profile=reference_to(facts),
        n_expectations=0,
        n_warnings=0,
    )
    return prepare_dataset(validated, recipe, paths), recipe, paths


def champion_of(size_px, folder):
    import keras

    image = keras.Input((size_px, size_px, 1))
    features = keras.layers.Conv2D(2, 3, name="features")(image)
    logits = keras.layers.Dense(1, name="head")(keras.layers.GlobalAveragePooling2D()(features))
    model = keras.Model(image, logits)
    path = folder / f"champion_{size_px}.keras"
    model.save(path)
    return model, path


def others(dataset):
    """What a champion was trained on that has seen nothing of the test split: its dataset's training images."""
    return content_of_splits(dataset, ["train", "validation"])


def test_test_images_that_the_champion_was_trained_on_are_left_out(prepared, tmp_path, caplog):
    """A champion of another dataset with some of the same images and patients; nothing but their content tells."""
    from cxr_tasks.evaluate.champion import evidence_of
    from cxr_tasks.registry.audit import trail

    dataset, recipe, paths = prepared
    test = content_of_splits(dataset, ["test"])
    _, path = champion_of(32, tmp_path)
    files = test.iloc[:2].assign(source="elsewhere", pixel_hash="", perceptual_hash="")
    seen = pd.concat([others(dataset), files])
    evidence = evidence_of(7, path, recipe.pixels, dataset, recipe, paths, seen, "c" * 64)
    assert evidence.left_out == set(test["image_id"][:2])
    assert evidence.left_out_why.startswith(f"2 of {len(test)} test images are of images or patients that champion 7")
    assert "2 by the same file" in caplog.text
    (line,) = [one for one in trail.entries() if one.kind == "test_read"]
    assert (line.version, line.detail["purpose"], line.detail["model_sha256"]) == (7, "champion", "c" * 64)


def test_a_champion_that_has_seen_most_of_the_test_split_compares_with_nothing(prepared, tmp_path):
    from cxr_tasks.evaluate.champion import evidence_of

    dataset, recipe, paths = prepared
    _, path = champion_of(32, tmp_path)
    seen = content_of_splits(dataset, ["train", "validation", "test"])
    evidence = evidence_of(7, path, recipe.pixels, dataset, recipe, paths, seen)
    assert evidence.predictions is None and f"{dataset.n_test} of {dataset.n_test} test images" in evidence.reason


def test_a_champion_of_other_pixels_sees_the_original_files(prepared, tmp_path):
    from cxr_tasks.evaluate.champion import evidence_of
    from cxr_tasks.images.decode import decode_files

    dataset, recipe, paths = prepared
    spec = PixelSpec(size_px=48, fit="crop")
    model, path = champion_of(48, tmp_path)
    evidence = evidence_of(7, path, spec, dataset, recipe, paths, others(dataset))
    assert evidence.reason == ""
    table = pd.read_parquet(evidence.predictions)
    index = pd.read_parquet(dataset.index.uri)
    test = index[index["split"] == "test"]
    assert table["image_id"].tolist() == test["image_id"].tolist()
    pixels = np.empty((len(test), 48, 48, 1), np.uint8)
    root = Path(read_json(Path(dataset.folder) / "provenance.json")["root"])
    assert decode_files(root, test, spec, into=pixels) == []
    expected = model(pixels.astype(np.float32) / 255, training=False).numpy()[:, 0]
    np.testing.assert_allclose(table["logit_pneumonia"], expected, atol=1e-4)


def test_a_champion_whose_originals_are_gone_is_a_reason(prepared, tmp_path):
    from cxr_tasks.evaluate.champion import evidence_of

    dataset, recipe, paths = prepared
    _, path = champion_of(48, tmp_path)
    shutil.rmtree(read_json(Path(dataset.folder) / "provenance.json")["root"])
    evidence = evidence_of(7, path, PixelSpec(size_px=48), dataset, recipe, paths, others(dataset))
    assert evidence.predictions is None
    assert "expected the image that ingest found there, found none" in evidence.reason


@pytest.mark.parametrize("content", [b"", b"PK", b"not a model"])
def test_a_champion_that_is_no_model_is_a_reason(prepared, tmp_path, content):
    from cxr_tasks.evaluate.champion import evidence_of

    dataset, recipe, paths = prepared
    (tmp_path / "model.keras").write_bytes(content)
    evidence = evidence_of(7, tmp_path / "model.keras", recipe.pixels, dataset, recipe, paths, others(dataset))
    assert evidence.predictions is None
    assert "model.keras" in evidence.reason


def test_whatever_goes_wrong_in_scoring_is_a_reason(prepared, tmp_path, monkeypatch):
    import cxr_tasks.evaluate.champion as module

    def breaks(*given):
        raise RuntimeError("out of device memory")

    dataset, recipe, paths = prepared
    monkeypatch.setattr(module, "_score", breaks)
    given = dataset, recipe, paths, others(dataset), "ab" * 32
    evidence = module.evidence_of(7, tmp_path / "model.keras", recipe.pixels, *given)
    assert (evidence.predictions, evidence.reason) == (None, "out of device memory")


def test_a_registry_that_does_not_answer_is_tried_again(prepared, monkeypatch):
    """No answer is no evidence that the champion is gone."""
    import cxr_tasks.evaluate.champion as module

    class Version:
        version = "7"

    def silent(*given):
        raise ServiceUnavailable("MLflow: expected an answer")

    dataset, recipe, paths = prepared
    monkeypatch.setattr(module.versions, "version_with_alias", lambda *given: Version())
    monkeypatch.setattr(module.version_files, "load_version", silent)
    with pytest.raises(ServiceUnavailable):
        module.champion_for_gate(dataset, recipe, paths)

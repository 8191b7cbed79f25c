from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.label_policies import LabelSpec
from cxr_tasks.evaluate.champion import evidence_of
from cxr_tasks.evaluate.table import read_predictions, rows_sha256
from cxr_tasks.installation.storage.files import reference_to
from cxr_tasks.installation.storage.paths import RunPaths

pytestmark = pytest.mark.tf
FINDINGS = ("pneumonia",)


def test_each_row_is_the_score_of_its_own_image(tiny, tmp_path):
    """Predicted one image at a time by hand, found by its id: order and pixels are right."""
    from cxr_tasks.datasets.load import stored_split
    from cxr_tasks.evaluate.predict import predictions_of
    from cxr_tasks.train.networks.saved import load_model

    model = load_model(Path(tiny.trained.model.uri), size_px=32, n_findings=1)
    stored = stored_split(tiny.prepared, "test", FINDINGS, tmp_path)
    table = predictions_of(model, stored, FINDINGS).set_index("image_id")
    assert len(table) == 60
    import tensorflow_datasets as tfds

    examples = tfds.builder_from_directory(tiny.prepared.folder).as_dataset(split="test")
    for example in examples.take(7).as_numpy_iterator():
        row = table.loc[example["image_id"].decode()]
        logit = model.predict(example["image"][None].astype("float32") / 255.0, verbose=0)[0, 0]
        assert row["logit_pneumonia"] == pytest.approx(logit, abs=1e-5)
        assert row["target_pneumonia"] == example["labels"][0]
        assert row["patient_key"] == example["patient"].decode()


def changed_index(tiny, tmp_path, change):
    index = change(pd.read_parquet(tiny.prepared.index.uri))
    index.to_parquet(tmp_path / "index.parquet")
    return dataclasses.replace(tiny.prepared, index=reference_to(tmp_path / "index.parquet"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda index: index.iloc[:-1], "expected 60 rows, one per example, found 59"),
        (lambda index: index.iloc[::-1], "images that the index calls positive for pneumonia are stored otherwise"),
    ],
)
def test_an_index_of_other_images_is_refused(tiny, tmp_path, change, said):
    from cxr_tasks.datasets.load import stored_split

    with pytest.raises(DataDefect, match=said):
        stored_split(changed_index(tiny, tmp_path, change), "test", FINDINGS, tmp_path)


def test_a_model_for_other_pixels_or_findings_is_refused(tiny):
    from cxr_tasks.train.networks.saved import load_model

    path = Path(tiny.trained.model.uri)
    with pytest.raises(DataDefect, match=r"\(None, 64, 64, 1\).*found"):
        load_model(path, size_px=64, n_findings=1)
    with pytest.raises(DataDefect, match=r"\(None, 14\).*found"):
        load_model(path, size_px=32, n_findings=14)


@pytest.mark.parametrize("content", [None, b"", b"PK not a zip"])
def test_a_file_that_is_no_model_is_a_data_defect(tmp_path, content):
    from cxr_tasks.train.networks.saved import load_model

    path = tmp_path / "model.keras"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataDefect, match="expected a Keras model"):
        load_model(path, size_px=32, n_findings=1)


def test_code_inside_a_model_file_is_never_run(tmp_path):
    import keras

    from cxr_tasks.train.networks.saved import load_model

    image = keras.Input((32, 32, 1))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Lambda(lambda x: x * 2)(image))
    keras.Model(image, keras.layers.Dense(1)(pooled)).save(tmp_path / "model.keras")
    with pytest.raises(DataDefect, match="expected a Keras model, found ValueError"):
        load_model(tmp_path / "model.keras", size_px=32, n_findings=1)


def test_no_images_give_no_logits(tiny):
    from cxr_tasks.train.networks.saved import load_model, logits_of

    model = load_model(Path(tiny.trained.model.uri), size_px=32, n_findings=1)
    assert logits_of(model, np.empty((0, 32, 32, 1), np.uint8)).shape == (0, 1)


def others(tiny):
    """What a champion that has seen nothing of the test split was trained on."""
    from cxr_tasks.datasets.content import content_of_splits

    return content_of_splits(tiny.prepared, ["train", "validation"])


def test_the_champion_is_scored_on_the_candidates_rows(tiny, tmp_path):
    paths = RunPaths(tmp_path / "run")
    given = Path(tiny.trained.model.uri), tiny.recipe.pixels, tiny.prepared, tiny.recipe, paths, others(tiny)
    evidence = evidence_of(4, *given)
    table = read_predictions(evidence.predictions, FINDINGS)
    assert (evidence.version, set(table["split"])) == (4, {"test"})
    index = pd.read_parquet(tiny.prepared.index.uri)
    assert table["image_id"].tolist() == index.loc[index["split"] == "test", "image_id"].tolist()
    assert len(rows_sha256(table, FINDINGS)) == 64


def test_a_champion_that_cannot_be_scored_is_a_reason(tiny, tmp_path):
    evidence = evidence_of(
        4, tmp_path / "gone.keras", tiny.recipe.pixels, tiny.prepared, tiny.recipe, RunPaths(tmp_path / "run"),
        others(tiny), "ab" * 32,
    )  # fmt: skip
    assert evidence.predictions is None
    assert "gone.keras: expected a Keras model" in evidence.reason


def test_what_is_not_mentioned_counts_as_the_recipe_says_and_uncertain_is_unknown(tiny, tmp_path, monkeypatch):
    """The first four test images, uncertain and not mentioned in turn, as the stored states have it."""
    from cxr_tasks.datasets import load
    from cxr_tasks.datasets.load import LoadedSplit

    is_test = pd.read_parquet(tiny.prepared.index.uri)["split"] == "test"

    def change(index):
        index.loc[index.index[is_test][:4], "label_pneumonia"] = ["uncertain", "unmentioned"] * 2
        return index

    whole = load.load_split

    def changed(*arguments, **options):
        loaded = whole(*arguments, **options)
        states = loaded.states.copy()
        states[:4, 0] = [2, 3, 2, 3]
        labels = np.where(states >= 2, np.nan, loaded.labels).astype(np.float32)
        return LoadedSplit(loaded.images, labels, states)

    monkeypatch.setattr(load, "load_split", changed)
    prepared = changed_index(tiny, tmp_path, change)
    by_default, ignored = (
        load.stored_split(prepared, "test", FINDINGS, tmp_path, labels=one).labels[:, 0]
        for one in (None, LabelSpec(unmentioned="ignore"))
    )
    np.testing.assert_array_equal(by_default[:4], [np.nan, 0, np.nan, 0])
    np.testing.assert_array_equal(ignored[:4], [np.nan] * 4)
    np.testing.assert_array_equal(by_default[4:], ignored[4:])

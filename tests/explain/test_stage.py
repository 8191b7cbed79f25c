from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxr_tasks.contracts.artifacts import ArtifactRef
from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.evaluation.of_finding import ServingValues
from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.assess import assess
from cxr_tasks.explain.chosen_images import KINDS
from cxr_tasks.explain.localise import localisation_sentence
from cxr_tasks.explain.stage import Explanations, explain_model
from cxr_tasks.installation.storage.files import read_json, reference_to

pytestmark = pytest.mark.tf
SIZE_PX = 32
FINDINGS = ("pneumonia",)
BOX = {"finding": "pneumonia", "x": 4, "y": 16, "width": 10, "height": 10}


def make_index(n: int, split: str) -> pd.DataFrame:
    """Every second image is positive and has a box; every tenth carries the other label than its picture shows. Four
    images a patient."""
    is_positive = np.arange(n) % 2 == 0
    return pd.DataFrame(
        {
            "image_id": [f"{split}/person{i}_bacteria_1.jpeg" for i in range(n)],
            "patient_key": [f"{split[0]}{i // 4:015d}" for i in range(n)],
            "split": split,
            "source": "synthetic",
            "view": "pa",
            "sex": "unknown",
            "age_years": np.nan,
            "sub_label": "",
            "boxes": [json.dumps([BOX] if one else []) for one in is_positive],
            "file_sha256": "0" * 64,
            "aspect_ratio": 1.0,
            "label_pneumonia": ["positive" if one else "negative" for one in is_positive],
        }
    )


def make_pixels(index: pd.DataFrame) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    pixels = []
    for i, label in enumerate(index["label_pneumonia"]):
        image = rng.integers(60, 90, (SIZE_PX, SIZE_PX, 1))
        if (label == "positive") != (i % 10 in (4, 7)):  # shown, except for two misleading ones of ten
            image[17:25, 5:13] += 90 + i
        pixels.append(np.clip(image, 0, 255).astype(np.uint8))
    return pixels


def patch_network():
    """Counts bright pixels; sees nothing in an image without a bright patch."""
    import keras

    image = keras.Input((SIZE_PX, SIZE_PX, 1))
    maps = keras.layers.Conv2D(1, 1, name="maps", kernel_initializer="ones")(keras.layers.AveragePooling2D(4)(image))
    features = keras.layers.Activation("relu", name="features")(maps)
    pooled = keras.layers.GlobalAveragePooling2D()(features)
    model = keras.Model(image, keras.layers.Dense(1, name="head")(pooled))
    model.get_layer("maps").set_weights([np.ones((1, 1, 1, 1)), np.array([-100 / 255])])
    model.get_layer("head").set_weights([np.array([[100.0]]), np.array([-1.0])])
    return model


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A prepared dataset written by the project's own store, a model, and what evaluation would have left."""
    from cxr_tasks.datasets.load import stored_split
    from cxr_tasks.evaluate.predict import predictions_of
    from cxr_tasks.prepare.shards import write_dataset

    folder = tmp_path_factory.mktemp("dataset")
    splits = {name: make_index(n, name) for name, n in (("train", 4), ("validation", 40), ("test", 40))}
    pixels = {name: enumerate(make_pixels(rows)) for name, rows in splits.items()}
    write_dataset(folder, "tiny", splits=splits, pixels=pixels, vocabulary="pneumonia", size_px=SIZE_PX)
    pd.concat(splits.values(), ignore_index=True).to_parquet(folder / "index.parquet")
    prepared = PreparedDataset(
        dataset="tiny", folder=str(folder), fingerprint="f" * 64, index=reference_to(folder / "index.parquet"),
        vocabulary="pneumonia", size_px=SIZE_PX, n_train=4, n_validation=40, n_test=40,
    )  # fmt: skip
    model = patch_network()
    model.save(folder / "model.keras")
    parts = [predictions_of(model, stored_split(prepared, name, FINDINGS, folder), FINDINGS) for name in splits]
    table = pd.concat(parts[1:], ignore_index=True)
    table.to_parquet(folder / "predictions.parquet")
    spec = EvaluateSpec(bootstrap_samples=100, served_operating_point="youden")
    return prepared, folder, assess(table, FINDINGS, spec)


def explain(case, folder, **changed):
    prepared, data, evaluation = case
    paths = {"model_path": data / "model.keras", "predictions_path": data / "predictions.parquet"}
    given = {**paths, "evaluation": evaluation}
    return explain_model(**{**given, "prepared": prepared, "findings": FINDINGS, "folder": folder, **changed})


@pytest.fixture(scope="module")
def explained(case, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXR_HOME", str(tmp_path_factory.mktemp("home")))
        yield explain(case, tmp_path_factory.mktemp("explain"))


def test_all_four_kinds_are_shown_and_agree_with_the_decision(explained):
    assert [one.number for one in explained.examples] == list(range(1, len(explained.examples) + 1))
    assert {one.kind for one in explained.examples} == set(KINDS)
    for one in explained.examples:
        assert one.is_called == (one.probability >= one.threshold)
        assert one.kind == ("true_" if one.is_called == one.is_positive else "false_") + (
            "positive" if one.is_called else "negative"
        )
        assert Image.open(one.picture).format == "PNG"
        assert one.has_box == one.is_positive
    assert explained.map_cells == (8, 8)


def test_an_image_without_evidence_has_an_empty_map(explained):
    assert all(one.heat_is_empty == (not one.is_called) for one in explained.examples)


def test_heat_is_found_in_the_boxes_where_the_patch_is_drawn(explained):
    found = explained.localisation["pneumonia"]
    assert found.n_images == 20
    assert found.n_patients == 10
    assert "in 16 of 20 images of 10 patients" in localisation_sentence(found)
    # What was written before patients were counted is told without them.
    assert "in 16 of 20 images (" in localisation_sentence(dataclasses.replace(found, n_patients=None))
    assert found.n_empty == 4  # positives whose picture shows nothing
    assert found.n_hits == 16
    assert found.lower > 3 * found.random_share
    assert found.control_hits < 8
    assert found.control_upper < found.lower


def test_the_file_holds_what_was_returned_and_no_image_id(explained):
    path = Path(explained.examples[0].picture).parent / "explanations.json"
    assert Explanations.from_dict(read_json(path)) == explained
    assert "person" not in path.read_text()
    assert len({one.key for one in explained.examples}) == len(explained.examples)


def test_a_finding_without_a_served_point_has_no_examples(case, cxr_home, tmp_path):
    serving = ServingValues(a=1.0, b=0.0, threshold=0.5, operating_point=None, reason="validation holds 3 positives")
    evaluation = dataclasses.replace(case[2], serving={"pneumonia": serving})
    assert explain(case, tmp_path, evaluation=evaluation).examples == ()


def test_a_changed_index_is_refused(case, cxr_home, tmp_path):
    prepared = dataclasses.replace(case[0], index=ArtifactRef(uri=case[0].index.uri, sha256="0" * 64))
    with pytest.raises(DataDefect, match="changed after it was written"):
        explain(case, tmp_path, prepared=prepared)

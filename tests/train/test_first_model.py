"""Soft labels from a first model: a network whose answer can be read off the image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.label_policies import LabelSpec
from cxr_tasks.contracts.serving_contract import FindingDecision, ServingContract
from cxr_tasks.contracts.specs import PixelSpec

pytestmark = pytest.mark.tf

SIZE_PX = 4
POSITIVE, NEGATIVE, UNCERTAIN = range(3)


@pytest.fixture
def brightness_model(tmp_path: Path) -> Path:
    """Logits ``[m, 2 m]`` with m the mean of the image in [0, 1]."""
    import keras

    inputs = keras.Input((SIZE_PX, SIZE_PX, 1))
    outputs = keras.layers.Dense(2, use_bias=False)(keras.layers.GlobalAveragePooling2D()(inputs))
    model = keras.Model(inputs, outputs)
    model.set_weights([np.array([[1.0, 2.0]], np.float32)])
    path = tmp_path / "first.keras"
    model.save(path)
    return path


@pytest.fixture
def grey_split():
    """Three images, black, half and white, each of one grey; states of edema and mass."""
    from cxr_tasks.datasets.load import LoadedSplit

    greys = np.array([0, 127.5, 255]).astype(np.uint8)
    images = np.broadcast_to(greys[:, None, None, None], (3, SIZE_PX, SIZE_PX, 1)).copy()
    states = np.array([[UNCERTAIN, UNCERTAIN], [POSITIVE, UNCERTAIN], [UNCERTAIN, NEGATIVE]], np.uint8)
    return LoadedSplit(images, np.where(states == UNCERTAIN, np.nan, states == POSITIVE).astype(np.float32), states)


def contract(*decisions: tuple[str, float, float]) -> ServingContract:
    return ServingContract(
        model_name="cxr_multilabel",
        pixels=PixelSpec(size_px=SIZE_PX + 12),  # the least there is; the model's own input is what counts here
        decisions=tuple(FindingDecision(finding=name, a=a, b=b, threshold=0.5) for name, a, b in decisions),
        dataset="synthetic",
        dataset_fingerprint="0",
        recipe="first",
        recipe_sha256="0",
    )


def sigmoid(value: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-value))


def test_a_file_gives_plain_probabilities_in_the_order_of_the_findings(brightness_model, grey_split, tmp_path):
    from cxr_tasks.train.data.first_model import soft_labels_of

    soft = soft_labels_of(str(brightness_model), grey_split, ["edema", "mass"], tmp_path)
    mean = grey_split.images[:, 0, 0, 0] / 255
    assert soft == pytest.approx(sigmoid(np.stack([mean, 2 * mean], axis=1)), abs=1e-6)


def test_with_a_contract_probabilities_are_calibrated_and_matched_by_name(brightness_model, grey_split, tmp_path):
    from cxr_tasks.registry.version_files import write_contract
    from cxr_tasks.train.data.first_model import soft_labels_of

    write_contract(contract(("nodule", 1.0, 0.0), ("edema", 3.0, -1.0)), brightness_model.parent)
    rows = np.array([True, False, True])
    soft = soft_labels_of(str(brightness_model), grey_split, ["edema", "mass"], tmp_path, rows=rows)
    mean = grey_split.images[:, 0, 0, 0] / 255
    assert soft[[0, 2], 0] == pytest.approx(sigmoid(3 * 2 * mean - 1)[[0, 2]], abs=1e-6)
    assert np.isnan(soft).tolist() == [[False, True], [True, True], [False, True]]
    with pytest.raises(ConfigurationError, match="expected a model for some of hernia"):
        soft_labels_of(str(brightness_model), grey_split, ["hernia"], tmp_path)


@pytest.mark.parametrize("name", ["absent.keras", "models:/cxr_multilabel/latest", "first.h5"])
def test_what_is_no_model_is_told_with_what_was_expected(name, grey_split, tmp_path, cxr_home):
    from cxr_tasks.train.data.first_model import soft_labels_of

    with pytest.raises(ConfigurationError, match="expected models:/NAME/VERSION or an existing .keras file"):
        soft_labels_of(name, grey_split, ["edema"], tmp_path)


def test_a_model_for_another_number_of_findings_is_refused(brightness_model, grey_split, tmp_path):
    from cxr_tasks.train.data.first_model import soft_labels_of

    with pytest.raises(DataDefect, match="it was made for other data"):
        soft_labels_of(str(brightness_model), grey_split, ["edema"], tmp_path)


def test_scores_are_kept_so_that_a_resumed_run_trains_on_the_same(brightness_model, grey_split, tmp_path):
    from cxr_tasks.train.data.label_treatment import split_targets

    spec = LabelSpec(
        uncertain="self_trained", uncertain_by_finding={"mass": "zeros"}, first_model=str(brightness_model)
    )
    folder = tmp_path / "run"
    folder.mkdir()
    targets = split_targets(grey_split, ["edema", "mass"], spec, seed=1, folder=folder)
    assert targets.values == pytest.approx(np.array([[0.5, 0], [1, 0], [sigmoid(1.0), 0]]), abs=1e-6)
    brightness_model.unlink()
    again = split_targets(grey_split, ["edema", "mass"], spec, seed=1, folder=folder)
    assert np.array_equal(again.values, targets.values)


@pytest.mark.mlflow
def test_a_registered_version_is_fetched_and_one_that_is_not_there_named(
    cxr_home, brightness_model, grey_split, tmp_path
):
    from cxr_tasks.registry import tracking, version_files
    from cxr_tasks.train.data.first_model import soft_labels_of

    with tracking.open_run("cxr_multilabel", "first") as run:
        version = version_files.register(
            model_name="cxr_multilabel",
            run_id=run.run_id,
            model_path=brightness_model,
            contract=contract(("edema", 2.0, 0.5), ("mass", 1.0, 0.0)),
            tags={},
            work=tmp_path,
        )
    soft = soft_labels_of(f"models:/cxr_multilabel/{version}", grey_split, ["mass", "edema"], tmp_path / "work")
    mean = grey_split.images[:, 0, 0, 0] / 255
    assert soft == pytest.approx(sigmoid(np.stack([2 * mean, 2 * mean + 0.5], axis=1)), abs=1e-6)
    with pytest.raises(ConfigurationError, match="expected version 7 of cxr_multilabel in the registry"):
        soft_labels_of("models:/cxr_multilabel/7", grey_split, ["edema"], tmp_path / "work")

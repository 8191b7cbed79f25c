from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cxr_tasks.contracts.errors import ReleaseRefused
from cxr_tasks.contracts.serving_contract import FILE_NAME
from cxr_tasks.installation.storage.files import read_json, write_json
from cxr_tasks.registry.version_files import read_contract
from serving.export.golden import golden_images

pytestmark = pytest.mark.tf


@pytest.fixture(scope="module")
def loaded(exported):
    import tensorflow as tf

    return tf.saved_model.load(str(exported))


def test_served_probabilities_are_the_models_own_calibrated(loaded, small_model, contract):
    import tensorflow as tf

    from serving.check.check import in_process_answers

    images = list(golden_images().values())
    outputs = loaded.signatures["serving_default"](image_bytes=tf.constant(images))
    expected = in_process_answers(small_model, contract, images).probabilities
    assert expected.std() > 0.01, "a model that answers alike for all images proves nothing"
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=1e-6)
    np.testing.assert_array_equal(outputs["decisions"], outputs["probabilities"].numpy() >= np.float32(0.45))
    assert outputs["labels"].numpy().tolist() == [[b"pneumonia"]] * len(images)


def test_an_empty_batch_gives_empty_outputs(loaded):
    import tensorflow as tf

    outputs = loaded.signatures["serving_default"](image_bytes=tf.zeros([0], tf.string))
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {
        "probabilities": (0, 1),
        "decisions": (0, 1),
        "labels": (0, 1),
        "typicality": (0,),
        "is_unusual": (0,),
    }


def test_typicality_is_that_of_the_numpy_formula_in_every_signature(loaded, small_model, contract):
    import io

    import tensorflow as tf
    from PIL import Image

    from serving.check.check import in_process_answers

    stripes = io.BytesIO()
    Image.fromarray(np.tile(np.repeat(np.array([0, 255], np.uint8), 16), (64, 2))).save(stripes, "PNG")
    images = [*golden_images().values(), stripes.getvalue()]
    expected = in_process_answers(small_model, contract, images).typicality
    assert expected.max() > 0.1
    assert expected[-1] < 0.01, "stripes are nothing like the smooth fields it was fitted on"
    for name, signature in loaded.signatures.items():
        outputs = signature(image_bytes=tf.constant(images))
        np.testing.assert_allclose(outputs["typicality"], expected, rtol=1e-3, atol=1e-5, err_msg=name)
        np.testing.assert_array_equal(outputs["is_unusual"], outputs["typicality"].numpy() < np.float32(0.01))


def test_a_refused_image_has_no_typicality_and_is_called_nothing(loaded):
    import tensorflow as tf

    images = [next(iter(golden_images().values())), b"no image"]
    outputs = loaded.signatures["lenient"](image_bytes=tf.constant(images))
    assert np.isnan(outputs["typicality"].numpy()).tolist() == [False, True]
    assert not outputs["is_unusual"][1]
    assert outputs["labels"][1].numpy().tolist() == [b"pneumonia"]


def test_a_model_registered_before_typicality_serves_without_it(exported, small_model, contract, tmp_path):
    import tensorflow as tf

    from serving.export.saved_model import export_saved_model

    plain = read_json(exported / "assets.extra" / FILE_NAME)
    del plain["typicality"]
    write_json(tmp_path / "before.json", plain)
    before = read_contract(tmp_path / "before.json")
    assert before == dataclasses.replace(contract, typicality=None)
    folder = export_saved_model(small_model, before, tmp_path / "1")
    for signature in tf.saved_model.load(str(folder)).signatures.values():
        assert not {"typicality", "is_unusual"} & set(signature.structured_outputs)


def test_heat_maps_are_scaled_class_activation(loaded, small_model, contract):
    import keras
    import tensorflow as tf

    from cxr_tasks.images.batches import batch_pixels

    images = list(golden_images().values())[:3]
    maps = loaded.signatures["explain"](image_bytes=tf.constant(images))["heat_maps"].numpy()
    features = keras.Model(small_model.inputs, small_model.get_layer("features").output)(
        batch_pixels(tf.constant(images), contract.pixels)
    ).numpy()
    expected = np.maximum((features * small_model.get_layer("head").kernel.numpy()[:, 0]).sum(-1), 0)
    peak = expected.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(
        maps[:, 0], np.divide(expected, peak, where=peak > 0, out=np.zeros_like(expected)), atol=1e-5
    )


def test_a_file_that_is_no_image_is_refused_by_the_graph(loaded):
    import tensorflow as tf

    with pytest.raises(tf.errors.InvalidArgumentError):
        loaded.signatures["serving_default"](image_bytes=tf.constant([b"no image"]))


def test_contract_travels_with_the_version(exported, contract):
    assert read_contract(exported / "assets.extra" / FILE_NAME) == contract


def test_a_model_with_other_outputs_is_refused(small_model, contract, tmp_path):
    from serving.export.saved_model import export_saved_model

    one = contract.decisions[0]
    two = dataclasses.replace(contract, decisions=(one, dataclasses.replace(one, finding="mass")))
    with pytest.raises(ReleaseRefused, match="expected one output for each of 2 findings"):
        export_saved_model(small_model, two, tmp_path / "1")
    assert not (tmp_path / "1").exists()


def test_a_model_of_pixels_that_are_not_made_any_more_is_refused(small_model, contract, tmp_path):
    from cxr_tasks.images.version import PIXELS_SINCE, PREPARE_VERSION
    from serving.export.saved_model import export_saved_model

    for version in (PIXELS_SINCE - 1, PREPARE_VERSION + 1):
        with pytest.raises(ReleaseRefused, match=f"trained on pixels of version {version} of the preparation"):
            export_saved_model(small_model, dataclasses.replace(contract, prepare_version=version), tmp_path / "1")


def test_a_model_registered_before_the_version_was_kept_is_exported_and_it_is_said(exported, contract, caplog):
    from serving.export.saved_model import _check_pixels

    plain = read_json(exported / "assets.extra" / FILE_NAME)
    del plain["prepare_version"]
    write_json(exported.parent / "before.json", plain)
    before = read_contract(exported.parent / "before.json")
    with caplog.at_level("INFO"):
        _check_pixels(before)
    assert "registered before the version of the preparation was kept" in caplog.text

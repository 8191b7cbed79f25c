"""The network that is exported gives the answers of the one that was trained."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.tf
SIZE_PX = 64


def randomised(model):
    """``model`` with statistics of normalisations as a training leaves them: none is 0 or 1."""
    import keras

    rng = np.random.default_rng(2)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, one.shape) - (n in (1, 2)) for n, one in enumerate(layer.weights)])
    return model


def network(name: str, **options):
    from cxr_tasks.train.networks.networks import build_network

    return randomised(build_network(name, size_px=SIZE_PX, n_findings=3, options=options, seed=1))


@pytest.fixture(scope="module")
def pixels():
    import tensorflow as tf

    return tf.constant(np.random.default_rng(0).random((3, SIZE_PX, SIZE_PX, 1), np.float32))


def by_keras(model, pixels):
    import keras

    whole = keras.Model(model.inputs, [model.get_layer("features").output, model.output])
    return [np.asarray(one) for one in whole(pixels, training=False)]


def of(frozen, pixels):
    return [np.asarray(one) for one in frozen(pixels)]


@pytest.mark.parametrize(
    ("name", "options", "n_folded"),
    [
        ("residual_cnn", {"widths": [8, 12, 16], "blocks": 1, "instance_norm_stages": 1, "local_contrast": True}, 7),
        ("residual_cnn", {"widths": [8, 12], "blocks": 1, "dropout": 0.3}, 6),
        ("densenet121", {}, 59),
    ],
)
def test_answers_and_features_are_those_of_the_keras_model(name, options, n_folded, pixels):
    from serving.export.frozen import frozen_network
    from serving.export.lean import _norms_behind_convolutions

    model = network(name, **options)
    assert len(_norms_behind_convolutions(model)) == n_folded
    for found, expected in zip(of(frozen_network(model), pixels), by_keras(model, pixels), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_a_network_that_also_sees_the_mirror_image_is_folded_in_both_ways(pixels, tmp_path):
    import keras

    from cxr_tasks.train.networks.networks import network_with_flip
    from serving.export.frozen import frozen_network

    network_with_flip(network("residual_cnn", widths=[8, 12], blocks=1)).save(tmp_path / "both.keras")
    both = keras.saving.load_model(tmp_path / "both.keras", compile=False, safe_mode=True)
    for found, expected in zip(of(frozen_network(both), pixels), by_keras(both, pixels), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_in_bfloat16_answers_stay_near_and_the_head_stays_exact(pixels):
    import tensorflow as tf

    from serving.export.frozen import frozen_network
    from serving.export.lean import BF16

    model = network("residual_cnn", widths=[8, 12, 16], blocks=1, instance_norm_stages=1)
    frozen = frozen_network(model, BF16)
    (features, logits), (_, expected) = of(frozen, pixels), by_keras(model, pixels)
    convolutions = [one for one in frozen.graph.graph.get_operations() if one.type == "Conv2D"]
    assert {one.outputs[0].dtype for one in convolutions} == {tf.bfloat16}
    assert features.dtype == logits.dtype == np.float32
    assert 0 < np.abs(logits - expected).max() < 0.05 * np.abs(expected).max()
    head = features.mean((1, 2)) @ np.asarray(model.get_layer("head").kernel) + np.asarray(model.get_layer("head").bias)
    np.testing.assert_allclose(logits, head, rtol=1e-4, atol=1e-5)


def test_the_graph_has_no_variables_and_the_weights_are_in_the_file_once(small_model, contract, tmp_path):
    import tensorflow as tf

    from serving.export.saved_model import export_saved_model

    folder = export_saved_model(small_model, contract, tmp_path / "1")
    assert not list((folder / "variables").glob("*.data*")) or not tf.saved_model.load(str(folder)).variables
    kernel = np.asarray(small_model.get_layer("features").kernel, np.float32).tobytes()
    assert (folder / "saved_model.pb").read_bytes().count(kernel) == 1


def test_a_convolution_whose_output_goes_elsewhere_too_is_not_folded(pixels):
    import keras

    from serving.export.frozen import frozen_network
    from serving.export.lean import _norms_behind_convolutions

    image = keras.Input((SIZE_PX, SIZE_PX, 1))
    convolved = keras.layers.Conv2D(4, 3, padding="same", name="twice")(image)
    once = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="not_linear")(convolved)
    added = keras.layers.Add()([convolved, *(keras.layers.BatchNormalization()(one) for one in (convolved, once))])
    features = keras.layers.Activation("relu", name="features")(added)
    pooled = keras.layers.GlobalAveragePooling2D()(features)
    model = randomised(keras.Model(image, keras.layers.Dense(2, name="head")(pooled)))
    assert _norms_behind_convolutions(model) == {}
    for found, expected in zip(of(frozen_network(model), pixels), by_keras(model, pixels), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)

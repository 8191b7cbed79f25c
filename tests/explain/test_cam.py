from __future__ import annotations

import numpy as np
import pytest

from cxr_tasks.contracts.errors import DataDefect

pytestmark = pytest.mark.tf
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 1)).astype(np.uint8)


@pytest.fixture(scope="module")
def network():
    """The project's own network for two findings, with weights drawn at random (in batch normalisation too)."""
    from cxr_tasks.train.networks.networks import build_network

    options = {"widths": [8, 12], "blocks": 1}
    model = build_network("residual_cnn", size_px=32, n_findings=2, options=options, seed=3)
    rng = np.random.default_rng(1)
    model.set_weights([one + np.abs(rng.normal(0, 0.3, one.shape)).astype("float32") for one in model.get_weights()])
    head = model.get_layer("head")
    head.set_weights([rng.normal(size=(12, 2)), np.array([0.3, -0.2])])
    return model


@pytest.mark.parametrize("output", [0, 1])
def test_equals_the_class_activation_map_of_a_pooled_head(network, output):
    """Zhou et al. (2016): the maps weighted by the head's weights; the gradient's mean is that over h * w cells."""
    import keras

    from cxr_tasks.explain.cam import GradCam

    features = keras.Model(network.inputs, network.get_layer("features").output)
    activations = features.predict(IMAGES / 255.0, verbose=0)
    weights = network.get_layer("head").get_weights()[0][:, output]
    expected = np.maximum(activations @ weights, 0.0)
    found = GradCam(network).maps(IMAGES, output)
    cells = activations.shape[1] * activations.shape[2]
    assert found.shape == expected.shape
    assert expected.max() > 0
    np.testing.assert_allclose(found * cells, expected, rtol=2e-4, atol=1e-5)


def test_a_map_does_not_depend_on_the_other_images_of_its_batch(network):
    from cxr_tasks.explain.cam import GradCam

    together = GradCam(network).maps(IMAGES, 0)
    alone = np.concatenate([GradCam(network).maps(IMAGES[i : i + 1], 0) for i in range(len(IMAGES))])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-6)


def test_heat_lies_where_the_evidence_is():
    """A network that only counts bright pixels must point at the bright patch."""
    import keras

    from cxr_tasks.explain.cam import GradCam

    image = keras.Input((32, 32, 1))
    features = keras.layers.Activation("relu", name="features")(keras.layers.AveragePooling2D(4)(image))
    pooled = keras.layers.GlobalAveragePooling2D()(features)
    model = keras.Model(image, keras.layers.Dense(1, name="head", kernel_initializer="ones")(pooled))
    picture = np.zeros((1, 32, 32, 1), np.uint8)
    picture[0, 20:28, 4:12] = 255
    heat = GradCam(model).maps(picture, 0)[0]
    assert np.unravel_index(heat.argmax(), heat.shape) in {(5, 1), (5, 2), (6, 1), (6, 2)}
    assert heat[:4].max() == 0


def test_no_images_give_no_maps(network):
    from cxr_tasks.explain.cam import GradCam

    assert GradCam(network).maps(IMAGES[:0], 0).shape[0] == 0


def test_a_model_without_the_layer_is_refused():
    import keras

    from cxr_tasks.explain.cam import GradCam

    image = keras.Input((32, 32, 1))
    model = keras.Model(image, keras.layers.Dense(1)(keras.layers.Flatten()(image)))
    with pytest.raises(DataDefect, match="expected a layer named 'features'"):
        GradCam(model).maps(IMAGES, 0)


@pytest.mark.parametrize("by_gradients", [False, True])
def test_one_tracing_serves_all_outputs(network, by_gradients):
    from cxr_tasks.explain.cam import GradCam

    cam = GradCam(network, by_gradients=by_gradients)
    for output in (1, 0, 1):
        alone = GradCam(network, by_gradients=by_gradients).maps(IMAGES, output)
        np.testing.assert_allclose(cam.maps(IMAGES, output), alone, rtol=1e-4, atol=1e-6)
    assert cam._maps_of.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("with_flip", [False, True])
def test_the_closed_form_equals_the_gradients_within_1e_5(network, with_flip):
    from cxr_tasks.explain.cam import GradCam
    from cxr_tasks.explain.maps import normalised
    from cxr_tasks.train.networks.networks import network_with_flip

    model = network_with_flip(network) if with_flip else network
    quick, slow = GradCam(model), GradCam(model, by_gradients=True)
    assert (quick.is_closed_form, slow.is_closed_form) == (True, False)
    found, expected = quick.all_maps(IMAGES), slow.all_maps(IMAGES)
    assert found.shape == (5, 2, *quick.cells)
    assert expected.max() > 0
    for output in range(2):
        np.testing.assert_allclose(normalised(found[:, output]), normalised(expected[:, output]), atol=1e-5)
        np.testing.assert_allclose(found[:, output], expected[:, output], rtol=1e-4, atol=1e-5 * expected.max())


@pytest.mark.parametrize("head", ["two layers", "not linear", "another pool", "features beside"])
def test_other_heads_take_gradients(head):
    import keras

    from cxr_tasks.explain.cam import GradCam

    image = keras.Input((32, 32, 1))
    features = keras.layers.Conv2D(4, 3, strides=4, activation="relu", name="features")(image)
    pool = keras.layers.GlobalMaxPooling2D if head == "another pool" else keras.layers.GlobalAveragePooling2D
    x = pool()(features)
    if head == "two layers":
        x = keras.layers.Dense(5, activation="relu")(x)
    logits = keras.layers.Dense(2, activation="tanh" if head == "not linear" else None, name="head")(x)
    if head == "features beside":
        beside = keras.layers.Dense(2)(keras.layers.Flatten()(features))
        logits = keras.layers.Average()([logits, beside])
    cam = GradCam(keras.Model(image, logits))
    assert not cam.is_closed_form
    assert cam.all_maps(IMAGES).shape == (5, 2, *cam.cells)
    np.testing.assert_array_equal(cam.all_maps(IMAGES)[:, 1], cam.maps(IMAGES, 1))


def test_a_network_that_also_sees_the_mirror_image_has_the_maps_of_the_image_as_it_is(network, tmp_path):
    """Also after saving and loading: half the gradient goes to the mirror image, and places stay where they are."""
    import keras

    from cxr_tasks.explain.cam import GradCam
    from cxr_tasks.train.networks.networks import network_with_flip

    network_with_flip(network).save(tmp_path / "both.keras")
    both = keras.saving.load_model(tmp_path / "both.keras", compile=False, safe_mode=True)
    plain, found = GradCam(network).maps(IMAGES, 1), GradCam(both).maps(IMAGES, 1)
    np.testing.assert_allclose(2 * found, plain, rtol=1e-3, atol=1e-6)

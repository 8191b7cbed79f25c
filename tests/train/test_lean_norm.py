"""Normalisation, activation and convolution in one step, against Keras' own layers one after the other."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.tf


def dense_network(dtype="float32"):
    """As DenseNet is built: each convolution sees all features before it, normalised and activated anew."""
    import keras
    from keras import layers

    keras.config.set_dtype_policy(dtype)
    try:
        image = keras.Input((12, 12, 3))
        x = layers.Conv2D(6, 3, padding="same", use_bias=False, name="stem")(image)
        for number in (1, 2):
            y = layers.BatchNormalization(momentum=0.8, epsilon=1.001e-5, name=f"{number}_norm")(x)
            y = layers.Activation("relu", name=f"{number}_relu")(y)
            y = layers.Conv2D(4, 3, padding="same", use_bias=False, name=f"{number}_conv")(y)
            x = layers.Concatenate(name=f"{number}_concat")([x, y])
        x = layers.BatchNormalization(momentum=0.8, name="last_norm")(x)
        x = layers.Activation("relu", name="features")(x)
        x = layers.GlobalAveragePooling2D(dtype="float32", name="pool")(x)
        network = keras.Model(image, layers.Dense(2, dtype="float32", name="head")(x))
    finally:
        keras.config.set_dtype_policy("float32")
    rng = np.random.default_rng(4)
    network.set_weights([rng.uniform(0.2, 1.2, one.shape) * rng.choice([-1, 1]) for one in network.get_weights()])
    for layer in network.layers:
        if layer.name.endswith("_norm"):
            gamma, beta, mean, variance = layer.get_weights()
            layer.set_weights([gamma, beta, mean, np.abs(variance)])
    return network


def step(network, images, training=True):
    """Loss, gradients and statistics of one step, in a graph as training runs it."""
    import tensorflow as tf

    @tf.function
    def run(images):
        with tf.GradientTape() as tape:
            logits = network(images, training=training)
            loss = tf.reduce_mean(tf.square(logits - 1.0))
        return loss, tape.gradient(loss, [one.value for one in network.trainable_variables])

    loss, gradients = run(tf.constant(images))
    return [loss.numpy(), *(one.numpy() for one in gradients), *network.get_weights()]


def pair(dtype="float32"):
    from cxr_tasks.train.networks.lean_norm import with_lean_norm

    network = dense_network(dtype)
    return network, with_lean_norm(network)


def images(n=4):
    return np.random.default_rng(1).normal(0.3, 1, (n, 12, 12, 3)).astype("f")


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-3), ("mixed_bfloat16", 0.1)])
@pytest.mark.parametrize("training", [True, False])
def test_loss_gradients_and_statistics_are_those_of_keras(dtype, tolerance, training):
    network, lean = pair(dtype)
    for expected, found in zip(step(network, images(), training), step(lean, images(), training), strict=True):
        assert found == pytest.approx(expected, rel=tolerance, abs=tolerance * float(np.abs(expected).max()))


@pytest.mark.parametrize("frozen", ["1_norm", "2_conv", "stem"])
def test_frozen_layers_stay_as_they_are(frozen):
    network, lean = pair()
    for one in (network, lean):
        one.get_layer(frozen).trainable = False
    for expected, found in zip(step(network, images()), step(lean, images()), strict=True):
        assert found == pytest.approx(expected, rel=2e-3, abs=2e-3 * float(np.abs(expected).max()))


def test_layers_names_and_weights_are_the_same_in_the_same_order():
    from cxr_tasks.train.networks.fused_norm import FusedBatchNormalization
    from cxr_tasks.train.networks.lean_norm import NormalisedConvolution

    network, lean = pair()
    assert [one.name for one in lean.layers[1:]] == [one.name for one in network.layers[1:]]
    assert [one.path for one in lean.weights] == [one.path for one in network.weights]
    assert all(np.array_equal(a, b) for a, b in zip(lean.get_weights(), network.get_weights(), strict=True))
    merged = [one.name for one in lean.layers if isinstance(one, NormalisedConvolution)]
    assert merged == ["1_conv", "2_conv"]
    assert type(lean.get_layer("last_norm")) is FusedBatchNormalization


def test_what_is_used_twice_is_not_merged():
    import keras
    from keras import layers

    from cxr_tasks.train.networks.lean_norm import NormalisedConvolution, with_lean_norm

    image = keras.Input((8, 8, 2))
    x = layers.Activation("relu")(layers.BatchNormalization()(image))
    y = layers.Conv2D(2, 3, padding="same", use_bias=False)(x)
    network = keras.Model(image, layers.Add()([x, y]))
    lean = with_lean_norm(network)
    assert not any(isinstance(one, NormalisedConvolution) for one in lean.layers)
    found = lean(images()[:, :8, :8, :2]).numpy()
    assert found == pytest.approx(network(images()[:, :8, :8, :2]).numpy(), abs=1e-5)

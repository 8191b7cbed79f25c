"""The fused normalisation against Keras' own layer."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.tf


def two_layers(dtype):
    import keras

    from cxr_tasks.train.networks.fused_norm import FusedBatchNormalization

    rng = np.random.default_rng(0)
    weights = [rng.uniform(0.5, 2, 6), rng.normal(size=6), rng.normal(size=6), rng.uniform(0.5, 2, 6)]
    layers = []
    for cls in (keras.layers.BatchNormalization, FusedBatchNormalization):
        layer = cls(momentum=0.8, epsilon=1.001e-5, dtype=dtype)
        layer.build((None, 5, 5, 6))
        layer.set_weights([one.astype("f") for one in weights])
        layers.append(layer)
    return layers


def run(layer, images, training):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(images)
        output = layer(images, training=training)
        total = tf.reduce_sum(tf.cast(output, tf.float32) ** 3)
    gradients = tape.gradient(total, [images, layer.gamma.value, layer.beta.value])
    return [tf.cast(one, tf.float32).numpy() for one in (output, *gradients)]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-4), ("mixed_bfloat16", 0.05)])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("is_frozen", [True, False])
def test_values_gradients_and_statistics_are_those_of_keras(dtype, tolerance, training, is_frozen):
    import tensorflow as tf

    keras_own, fused = two_layers(dtype)
    keras_own.trainable = fused.trainable = not is_frozen
    images = np.random.default_rng(1).normal(2, 3, (4, 5, 5, 6)).astype("f")
    images = tf.cast(images, keras_own.compute_dtype)
    for expected, found in zip(run(keras_own, images, training), run(fused, images, training), strict=True):
        assert found == pytest.approx(expected, rel=tolerance, abs=tolerance * float(np.abs(expected).max()))
    for expected, found in zip(keras_own.get_weights(), fused.get_weights(), strict=True):
        assert found == pytest.approx(expected, rel=1e-3 if dtype != "float32" else 1e-5)
    moved = not np.array_equal(fused.get_weights()[2], two_layers(dtype)[1].get_weights()[2])
    assert moved == (training and not is_frozen)

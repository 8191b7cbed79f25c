"""The served graph: image bytes in; calibrated probabilities, decisions, labels and heat maps out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cxr_tasks.contracts.serving_contract import ServingContract
from cxr_tasks.prepare.pixels import batch_pixels

INPUT_NAME = "image_bytes"
Endpoint = Callable[[tf.Tensor], dict[str, tf.Tensor]]


def input_signature() -> list[Any]:
    """One string tensor of shape (n,): each element the bytes of one image file."""
    return [tf.TensorSpec([None], tf.string, name=INPUT_NAME)]


def serving_default(model: keras.Model, contract: ServingContract) -> Endpoint:
    """Image bytes (n,) -> ``probabilities`` float, ``decisions`` bool and ``labels`` string, each (n, k)."""
    decide = _decider(contract)

    def serve(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        n_images = tf.shape(image_bytes)[0]
        outputs = decide(model(_at_least_one(batch_pixels(image_bytes, contract.pixels)), training=False))
        return {name: tensor[:n_images] for name, tensor in outputs.items()}

    return serve


def explain(model: keras.Model, contract: ServingContract) -> Endpoint:
    """As ``serving_default``, and ``heat_maps`` float (n, k, h, w) in [0, 1] at the resolution of the last features.

    A heat map is the class activation map max(0, sum_c w_ck * A_c), divided by its own maximum; a map
    without any positive evidence stays zero. For a head of global average pooling and one dense layer this
    equals Grad-CAM up to scale (Selvaraju et al., ICCV 2017, section 3.1).
    """
    with_features = keras.Model(model.inputs, [model.get_layer("features").output, model.output])
    kernel = model.get_layer("head").kernel
    decide = _decider(contract)

    def serve(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        n_images = tf.shape(image_bytes)[0]
        features, logits = with_features(_at_least_one(batch_pixels(image_bytes, contract.pixels)), training=False)
        weights = tf.cast(kernel, tf.float32)
        maps = tf.nn.relu(tf.einsum("nhwc,ck->nkhw", tf.cast(features, tf.float32), weights))
        maps = tf.math.divide_no_nan(maps, tf.reduce_max(maps, axis=[2, 3], keepdims=True))
        outputs = {**decide(logits), "heat_maps": maps}
        return {name: tensor[:n_images] for name, tensor in outputs.items()}

    return serve


def probabilities_of(logits: np.ndarray, contract: ServingContract) -> np.ndarray:
    """The calibrated probabilities the served graph must give for ``logits`` (n, k), in float64."""
    a = np.array([one.a for one in contract.decisions])
    b = np.array([one.b for one in contract.decisions])
    return 1.0 / (1.0 + np.exp(-(a * np.asarray(logits, dtype=np.float64) + b)))


def _at_least_one(pixels: tf.Tensor) -> tf.Tensor:
    """``pixels`` (n, size, size, 1), or one black image where n is 0.

    oneDNN's convolution gives an empty batch a wrong number of channels, so that an empty request would be
    an error (TensorFlow 2.21); the row added here is cut off again behind the model.
    """
    return tf.cond(tf.shape(pixels)[0] > 0, lambda: pixels, lambda: tf.zeros([1, *pixels.shape[1:]], pixels.dtype))


def _decider(contract: ServingContract) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Logits (n, k) -> the three outputs that every endpoint gives."""
    a = tf.constant([one.a for one in contract.decisions], tf.float32)
    b = tf.constant([one.b for one in contract.decisions], tf.float32)
    thresholds = tf.constant([one.threshold for one in contract.decisions], tf.float32)
    findings = tf.constant([list(contract.findings)])

    def decide(logits: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = tf.sigmoid(a * tf.cast(logits, tf.float32) + b)
        return {
            "probabilities": probabilities,
            "decisions": probabilities >= thresholds,
            # With the batch as first dimension, as server-side batching needs it.
            "labels": tf.repeat(findings, tf.shape(probabilities)[0], axis=0),
        }

    return decide

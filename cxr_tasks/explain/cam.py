"""Grad-CAM: where in an image the evidence for a finding lies (TensorFlow lives here).

Source: Selvaraju et al., ICCV 2017. The weight of each feature map is the mean over its area of the gradient of the
finding's logit; the weighted sum is cut off below 0, so a map shows what speaks for the finding, never against it. For
networks that end in global average pooling and one Dense layer this is the class activation map of Zhou et al., CVPR
2016, up to a constant factor: gradients are the weights of the head, and one pass gives the maps of all findings.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.datasets.load import plain_batches
from cxr_tasks.explain.head import gradients_of_head
from cxr_tasks.train.networks.networks import FEATURES_LAYER

BATCH = 32


class GradCam:
    """Heat maps of one model, traced once for all its outputs."""

    def __init__(self, model: keras.Model, *, by_gradients: bool = False):
        """``DataDefect`` where the model has no layer ``features`` with four dimensions.

        Args:
            by_gradients: Take gradients, a pass for each output, also where the head allows the closed form.
        """
        try:
            features = model.get_layer(FEATURES_LAYER).output
        except ValueError as error:
            raise DataDefect(f"model {model.name}: expected a layer named {FEATURES_LAYER!r}, found none") from error
        if len(features.shape) != 4:
            raise DataDefect(f"model {model.name}: expected features of shape (n, h, w, c), found {features.shape}")
        self.cells: tuple[int, int] = (int(features.shape[1]), int(features.shape[2]))
        self.n_outputs = int(model.output_shape[-1])
        known = None if by_gradients else gradients_of_head(model, features)
        self.is_closed_form = known is not None
        self._maps_of = (
            _by_gradients(model, features) if known is None else _by_head(model, features, known / np.prod(self.cells))
        )

    def all_maps(self, images: np.ndarray) -> np.ndarray:
        """Maps float32 ``(n, k, h, w)``, not below 0, of all logits; ``h`` and ``w`` as in ``features``.

        Args:
            images: uint8 ``(n, size, size, 1)``.
        """
        if not self.is_closed_form:
            each = [self.maps(images, output) for output in range(self.n_outputs)]
            return np.stack(each, axis=1)
        maps = [self._maps_of(batch).numpy() for batch in plain_batches(images, BATCH)]
        return np.concatenate(maps) if maps else np.empty((0, self.n_outputs, *self.cells), np.float32)

    def maps(self, images: np.ndarray, output: int) -> np.ndarray:
        """Maps float32 ``(n, h, w)``, not below 0, of logit number ``output``; ``h`` and ``w`` as in ``features``.

        Args:
            images: uint8 ``(n, size, size, 1)``.
        """
        if self.is_closed_form:
            return self.all_maps(images)[:, output]
        number = tf.constant(output)
        maps = [self._maps_of(batch, number).numpy() for batch in plain_batches(images, BATCH)]
        return np.concatenate(maps) if maps else np.empty((0, *self.cells), np.float32)


def _by_head(model: keras.Model, features: tf.Tensor, weights: np.ndarray) -> tf.types.experimental.GenericFunction:
    """Images -> maps of all outputs; ``weights`` float ``(c, k)``."""
    to_features, constant = keras.Model(model.inputs, features), tf.constant(weights, tf.float32)

    @tf.function(reduce_retracing=True)
    def maps_of(batch: tf.Tensor) -> tf.Tensor:
        activations = tf.cast(to_features(batch, training=False), tf.float32)
        return tf.nn.relu(tf.einsum("nhwc,ck->nkhw", activations, constant))

    return maps_of


def _by_gradients(model: keras.Model, features: tf.Tensor) -> tf.types.experimental.GenericFunction:
    """Images and the number of an output -> its maps."""
    split = keras.Model(model.inputs, [features, model.outputs[0]])

    @tf.function(reduce_retracing=True)
    def maps_of(batch: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(batch)
            activations, logits = split(batch, training=False)
            logit = tf.gather(logits, output, axis=1)
        weights = tf.reduce_mean(tape.gradient(logit, activations), axis=(1, 2), keepdims=True)
        return tf.nn.relu(tf.reduce_sum(tf.cast(weights * activations, tf.float32), axis=-1))

    return maps_of

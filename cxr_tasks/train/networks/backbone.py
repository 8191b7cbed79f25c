"""A network as backbone and head, so that either can run without the other."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cxr_tasks.train.networks.blocks import HEAD_LAYER, POOL_LAYER

Logits = tuple[tf.Tensor, tf.Tensor | None]


class BackboneAndHead:
    """``network`` in two parts that share its weights, and a second head that only training has.

    The second head gives, for findings whose uncertain labels are a class of their own, the logit of "uncertain" over
    "negative" beside the one of "positive" over "negative". It is no part of ``network``, which is what is kept.
    """

    def __init__(self, network: keras.Model, *, has_uncertain_head: bool = False, seed: int = 0):
        self.network = network
        pool = network.get_layer(POOL_LAYER)
        self._backbone = keras.Model(network.inputs[0], pool.output, name="backbone")
        self._above = network.layers[network.layers.index(pool) + 1 :]
        self.n_channels = int(pool.output.shape[-1])
        self.uncertain_head: keras.layers.Dense | None = None
        if has_uncertain_head:
            initializer = keras.initializers.GlorotUniform(seed)
            self.uncertain_head = keras.layers.Dense(
                network.get_layer(HEAD_LAYER).units, kernel_initializer=initializer, dtype="float32"
            )
            self.uncertain_head.build((None, self.n_channels))

    def features(self, images: tf.Tensor, *, training: bool) -> tf.Tensor:
        """Pooled features float32 ``(n, channels)`` of ``images`` float32 ``(n, size, size, 1)`` in [0, 1]."""
        return self._backbone(images, training=training)

    def logits(self, features: tf.Tensor, *, training: bool) -> Logits:
        """Logits float32 ``(n, n_findings)`` from pooled features, and those of "uncertain" where trained."""
        x = features
        for layer in self._above:
            if layer.name == HEAD_LAYER:
                break
            x = layer(x, training=training)
        uncertain = None if self.uncertain_head is None else self.uncertain_head(x)
        return self.network.get_layer(HEAD_LAYER)(x), uncertain

    @property
    def variables(self) -> list[keras.Variable]:
        """All of them, seeds of dropout too (which ``network.weights`` leaves out)."""
        return [*self.network.variables, *self.uncertain_weights]

    @property
    def uncertain_weights(self) -> list[keras.Variable]:
        return [] if self.uncertain_head is None else self.uncertain_head.weights

    def set_weights(self, weights: list[Any]) -> None:
        """Weights of the network, then those of the second head where ``weights`` go on."""
        n_network = len(self.network.weights)
        self.network.set_weights([np.asarray(weight) for weight in weights[:n_network]])
        for variable, value in zip(self.uncertain_weights, weights[n_network:], strict=False):
            variable.assign(value)

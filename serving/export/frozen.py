"""A network as a graph without variables: what is constant is computed once, when the version is loaded."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from serving.export.lean import lean_network


@dataclass(frozen=True, slots=True)
class FrozenNetwork:
    """A network for answering, its weights constants of a graph that all signatures of an export call: they are in the
    file once."""

    graph: tf.types.experimental.ConcreteFunction
    head: np.ndarray
    """float32 ``(c, k)``: the weights of the head, by channel of the last features and by finding."""
    precision: str

    def __call__(self, pixels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Features ``(n, h, w, c)`` and logits ``(n, k)``, float32, of pixels float32 ``(n, size, size, 1)``."""
        features, logits = self.graph(pixels)
        return features, logits


def frozen_network(model: keras.Model, precision: str = "float32") -> FrozenNetwork:
    """``model`` made lean (``lean.lean_network``) and frozen.

    Args:
        precision: As in ``lean_network``.
    """
    # TensorFlow has no public name for it; its own tools for TFLite and TensorRT import it from here.
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    network = lean_network(model, precision)

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None, *network.input_shape[1:]), tf.float32)])
    def run(pixels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        features, logits = network(pixels, training=False)
        return tf.cast(features, tf.float32), tf.cast(logits, tf.float32)

    graph = convert_variables_to_constants_v2(run.get_concrete_function())
    return FrozenNetwork(graph, np.asarray(model.get_layer("head").kernel, np.float32), precision)

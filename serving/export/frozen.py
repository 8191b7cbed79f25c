"""A network as a graph without variables: what is constant is computed once, when the version is loaded."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

#: Pixels float32 (n, size, size, 1) -> features (n, h, w, c) and logits float32 (n, k).
Network = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def frozen(network: keras.Model) -> Network:
    """``network``, which gives ``[features, logits]``, with its weights as constants in its graph.

    All signatures of an export call this one function, so that the weights are in the file once.
    """
    # TensorFlow has no public name for it; its own tools for TFLite and TensorRT import it from here.
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None, *network.input_shape[1:]), tf.float32)])
    def run(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        features, logits = network(pixels, training=False)
        return {"features": features, "logits": logits}

    graph = convert_variables_to_constants_v2(run.get_concrete_function())

    def call(pixels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        outputs = graph(pixels)
        return outputs["features"], outputs["logits"]

    call.graph = graph  # type: ignore[attr-defined]  # else it would be let go
    return call

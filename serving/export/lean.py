"""The same network for answering only: normalisations folded into convolutions, in half precision where asked for."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from serving.export.typicality import FEATURES

BF16 = "mixed_bfloat16"


class FixedNormalization(keras.layers.Layer):
    """Batch normalisation by fixed statistics as one operation, of ``(n, h, w, c)``; Keras' layer is four.

    TensorFlow takes a ReLU behind it into the same pass over memory.
    """

    def __init__(self, norm: keras.layers.BatchNormalization, **config: Any):
        super().__init__(name=norm.name, **config)
        self._constants, self._epsilon = [np.asarray(one, np.float32) for one in _statistics(norm)], norm.epsilon

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: Any = None) -> tf.Tensor:
        scale, offset, mean, variance = self._constants
        return tf.raw_ops.FusedBatchNormV3(
            x=inputs, scale=scale, offset=offset, mean=mean, variance=variance, epsilon=self._epsilon,
            is_training=False,
        ).y  # fmt: skip

    def compute_output_spec(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        return keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)


class PassedOn(keras.layers.Layer):
    """In the place of a normalisation that the convolution before it does; called as that one was."""

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: Any = None) -> tf.Tensor:
        return inputs


def lean_network(model: keras.Model, precision: str = "float32") -> keras.Model:
    """A network that gives ``[features, logits]`` of ``model`` in inference, in fewer passes over memory.

    Of a normalisation right behind a convolution the convolution does the work: its kernel is scaled, and it gets a
    bias. Other batch normalisations are one operation each.

    Args:
        precision: ``float32``, or ``BF16``: from the first convolution to ``features`` in bfloat16. What comes before
            (greys as they are) and behind (averages, head) stays in float32.
    """
    whole = keras.Model(model.inputs, [model.get_layer(FEATURES).output, model.output])
    folded = _norms_behind_convolutions(whole)
    taken = {norm.name for norm in folded.values()}
    in_bf16 = _backbone(whole) if precision == BF16 else frozenset()

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        policy = {"dtype": BF16} if layer.name in in_bf16 else {}
        if layer.name in taken:
            return PassedOn(name=layer.name, **policy)
        if type(layer) is keras.layers.BatchNormalization and _is_of_channels(layer):
            return FixedNormalization(layer, **policy)
        config = {**layer.get_config(), **policy}
        if layer.name in folded:
            config["use_bias"] = True
        return type(layer).from_config(config)

    lean = keras.models.clone_model(whole, clone_function=clone)
    for layer in whole.layers:
        if layer.name in folded:
            lean.get_layer(layer.name).set_weights(_folded(layer, folded[layer.name]))
        elif layer.weights and layer.name not in taken and lean.get_layer(layer.name).weights:
            lean.get_layer(layer.name).set_weights(layer.get_weights())
    return lean


def _norms_behind_convolutions(model: keras.Model) -> dict[str, keras.layers.BatchNormalization]:
    """Name of a convolution -> the normalisation that is all that its output goes to."""
    found = {}
    for norm in model.layers:
        if type(norm) is not keras.layers.BatchNormalization or not _is_of_channels(norm):
            continue
        sources = {tensor._keras_history.operation for node in norm._inbound_nodes for tensor in node.input_tensors}
        if len(sources) != 1:
            continue
        (layer,) = sources
        is_plain = type(layer) is keras.layers.Conv2D and layer.activation is keras.activations.linear
        if is_plain and {node.operation for node in layer._outbound_nodes} == {norm}:
            found[layer.name] = norm
    return found


def _is_of_channels(norm: keras.layers.BatchNormalization) -> bool:
    return len(norm._inbound_nodes[0].input_tensors[0].shape) == 4 and norm.axis in {-1, 3}


def _statistics(norm: keras.layers.BatchNormalization) -> tuple[np.ndarray, ...]:
    """Scale, offset, mean and variance ``(c,)`` of ``norm``."""
    mean, variance = (np.asarray(one) for one in (norm.moving_mean, norm.moving_variance))
    scale = np.ones_like(mean) if norm.gamma is None else np.asarray(norm.gamma)
    offset = np.zeros_like(mean) if norm.beta is None else np.asarray(norm.beta)
    return scale, offset, mean, variance


def _folded(layer: keras.layers.Conv2D, norm: keras.layers.BatchNormalization) -> list[np.ndarray]:
    """Kernel and bias of a convolution that normalises too; in float64 until the end."""
    scale, offset, mean, variance = (np.asarray(one, np.float64) for one in _statistics(norm))
    factor = scale / np.sqrt(variance + norm.epsilon)
    bias = np.asarray(layer.bias, np.float64) if layer.use_bias else 0.0
    return [
        (np.asarray(layer.kernel, np.float64) * factor).astype(np.float32),
        ((bias - mean) * factor + offset).astype(np.float32),
    ]


def _backbone(model: keras.Model) -> frozenset[str]:
    """Names of the layers from the first convolution to ``features``."""
    names = [layer.name for layer in model.layers]
    first = next((n for n, layer in enumerate(model.layers) if isinstance(layer, keras.layers.Conv2D)), len(names))
    return frozenset(names[first : names.index(FEATURES) + 1])

"""Normalise, activate and convolve as one step of the graph, for training only: less is kept for the backward pass.

DenseNet normalises and activates all earlier features anew before every convolution. Kept until the backward pass,
those copies are a third of its memory; computed again there, they cost one pass over the features (Pleiss et al.,
"Memory-Efficient Implementation of DenseNets", 2017).
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from cxr_tasks.train.networks.fused_norm import FusedBatchNormalization


class DeferredNormalization(FusedBatchNormalization):
    """Hands its input on as it is; its weights are used by the ``NormalisedConvolution`` behind it."""

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: Any = None) -> tf.Tensor:
        return inputs


class NormalisedConvolution(keras.layers.Conv2D):
    """Keras' convolution of the normalised and activated (ReLU) input; stride 1, without bias."""

    def __init__(self, norm: DeferredNormalization, **config: Any):
        super().__init__(**config)
        # Out of sight of Keras, which would count the weights of ``norm`` among those of this layer too.
        self._norm_of = lambda: norm

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        norm = self._norm_of()
        if not (training and norm.trainable):
            return super().call(tf.nn.relu(FusedBatchNormalization.call(norm, inputs, training=False)))
        output, mean, variance = _convolved(
            inputs, norm.gamma.value, norm.beta.value, tf.convert_to_tensor(self.kernel), norm.epsilon, self.padding
        )
        norm.move_statistics(inputs, mean, variance)
        return output


def _convolved(
    inputs: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor, kernel: tf.Tensor, epsilon: float, padding: str
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The convolution, and mean and variance of the batch that ``inputs`` were normalised by."""
    how: dict[str, Any] = {"strides": [1, 1, 1, 1], "padding": padding.upper()}

    def normalised(values: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor) -> Any:
        return tf.raw_ops.FusedBatchNormV3(
            x=values, scale=scale, offset=offset, mean=[], variance=[], epsilon=epsilon, is_training=True
        )

    @tf.custom_gradient
    def run(inputs: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor, kernel: tf.Tensor) -> Any:
        norm = normalised(inputs, scale, offset)
        output = tf.nn.conv2d(tf.nn.relu(norm.y), kernel, **how)

        def gradients(d_output: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor, ...]:
            # Not before the gradient is there: else it would be computed early, and kept as before.
            with tf.control_dependencies([d_output]):
                again = tf.nn.relu(normalised(tf.identity(inputs), scale, offset).y)
            d_kernel = tf.raw_ops.Conv2DBackpropFilter(
                input=again, filter_sizes=tf.shape(kernel), out_backprop=d_output, **how
            )
            d_again = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(again), filter=kernel, out_backprop=d_output, **how
            )
            d_norm = tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=tf.raw_ops.ReluGrad(gradients=d_again, features=again),
                x=inputs,
                scale=scale,
                reserve_space_1=norm.reserve_space_1,
                reserve_space_2=norm.reserve_space_2,
                reserve_space_3=norm.reserve_space_3,
                epsilon=epsilon,
                is_training=True,
            )
            return d_norm.x_backprop, d_norm.scale_backprop, d_norm.offset_backprop, d_kernel

        return (output, norm.batch_mean, norm.batch_variance), gradients

    return run(inputs, scale, offset, kernel)


def with_lean_norm(network: keras.Model) -> keras.Model:
    """A network of the same layers, names and weights, in the same order, in which such steps are one.

    Of every normalisation that only a ReLU follows, and that only a convolution (stride 1, no bias), the convolution
    does all three; other normalisations are ``FusedBatchNormalization``.
    """
    norm_of = {}
    for layer in network.layers:
        steps = _steps_before(layer)
        if steps is not None:
            norm_of[layer.name] = steps
    deferred = {norm for norm, _ in norm_of.values()}
    passed_on = {activation for _, activation in norm_of.values()}
    made: dict[str, DeferredNormalization] = {}

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if layer.name in deferred:
            made[layer.name] = DeferredNormalization.from_config(config)
            return made[layer.name]
        if layer.name in passed_on:
            return keras.layers.Identity(name=layer.name, dtype=config["dtype"])
        if layer.name in norm_of:
            return NormalisedConvolution(made[norm_of[layer.name][0]], **config)
        is_norm = type(layer) is keras.layers.BatchNormalization
        return (FusedBatchNormalization if is_norm else type(layer)).from_config(config)

    lean = keras.models.clone_model(network, clone_function=clone)
    lean.set_weights(network.get_weights())
    return lean


def _steps_before(layer: keras.layers.Layer) -> tuple[str, str] | None:
    """Names of the normalisation and the ReLU right before ``layer``, where it can take their place."""
    is_plain = (
        type(layer) is keras.layers.Conv2D
        and layer.strides == layer.dilation_rate == (1, 1)
        and layer.groups == 1
        and not layer.use_bias
        and layer.activation is keras.activations.linear
    )
    activation = _only_input(layer, keras.layers.Activation) if is_plain else None
    if activation is None or activation.activation is not keras.activations.relu:
        return None
    norm = _only_input(activation, keras.layers.BatchNormalization)
    return None if norm is None or norm.axis not in {-1, 3} else (norm.name, activation.name)


def _only_input(layer: keras.layers.Layer, kind: type[keras.layers.Layer]) -> Any:
    """The layer of this very ``kind`` whose output goes to ``layer`` and nowhere else, or None."""
    (node,) = layer._inbound_nodes
    if len(node.input_tensors) != 1:
        return None
    before = node.input_tensors[0]._keras_history.operation
    return before if type(before) is kind and len(before._outbound_nodes) == 1 else None

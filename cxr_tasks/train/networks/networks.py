"""The networks a recipe can name, built from Keras' own layers only, so that a saved model loads anywhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from cxr_tasks.contracts.errors import chosen
from cxr_tasks.contracts.network_options import ResidualCnnOptions, options_from
from cxr_tasks.train.networks.blocks import FEATURES_LAYER, HEAD_LAYER, POOL_LAYER
from cxr_tasks.train.networks.densenet import densenet121
from cxr_tasks.train.networks.lean_norm import with_lean_norm
from cxr_tasks.train.networks.synced_norm import with_synced_norm

#: With few steps per epoch the default of 0.99 leaves validation at chance for many epochs.
BATCH_NORM_MOMENTUM = 0.9


def build_network(name: str, *, size_px: int, n_findings: int, options: dict[str, Any], seed: int = 0) -> keras.Model:
    """An untrained network: float32 ``(n, size, size, 1)`` in [0, 1] to logits float32 ``(n, n_findings)``.

    Its last convolutional activation is the layer ``features``, pooled over the whole image and given to the Dense
    layer ``head``, so a class activation map is a weighted sum of ``features``. Weights follow from ``seed``.

    Raises:
        ConfigurationError: The network or an option is not known.
    """
    make = chosen(_MAKE, name, "train.network")
    checked = options_from(name, options)
    keras.utils.set_random_seed(seed)
    return make(size_px, n_findings, checked)


def residual_cnn(size_px: int, n_findings: int, options: ResidualCnnOptions) -> keras.Model:
    """A small residual network that takes brightness and contrast of the image as a whole out first.

    Halving is by averaging, not by stride, so that a shift by one pixel changes little (Zhang, ICML 2019).
    Instance normalisation in early stages removes the look of a source and keeps its content (Pan et al., ECCV 2018).
    """
    image = keras.Input((size_px, size_px, 1), name="image")
    x = layers.LayerNormalization(axis=[1, 2, 3], center=False, scale=False, dtype="float32", name="standardise")(image)
    if options.local_contrast:
        x = layers.Concatenate(name="standardise_both")([x, _local_contrast(x, size_px)])
    x = layers.Conv2D(options.widths[0], 5, options.stem_stride, "same", use_bias=False, name="stem")(x)
    x = _activated(x, "stem", by_image=options.instance_norm_stages > 0)
    n_blocks = options.blocks * len(options.widths)
    for number in range(n_blocks):
        stage, place = divmod(number, options.blocks)
        if stage and not place:
            x = layers.AveragePooling2D(2, name=f"halve_{stage}")(x)
        last = number == n_blocks - 1
        by_image = stage < options.instance_norm_stages
        x = _residual(x, options.widths[stage], f"block_{number + 1}", by_image, FEATURES_LAYER if last else None)
    x = layers.GlobalAveragePooling2D(name=POOL_LAYER, dtype="float32")(x)
    if options.dropout:
        x = layers.Dropout(options.dropout, name="dropout", dtype="float32")(x)
    logits = layers.Dense(n_findings, name=HEAD_LAYER, dtype="float32")(x)
    return keras.Model(image, logits, name="residual_cnn")


def _residual(x: Any, width: int, name: str, by_image: bool, activation_name: str | None) -> Any:
    shortcut = x
    if x.shape[-1] != width:
        shortcut = layers.Conv2D(width, 1, use_bias=False, name=f"{name}_shortcut")(x)
        shortcut = layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_shortcut_norm")(shortcut)
    x = layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"{name}_conv_1")(x)
    x = _activated(x, f"{name}_1", by_image)
    x = layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"{name}_conv_2")(x)
    x = layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_2_norm")(x)
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.Activation("relu", name=activation_name or f"{name}_relu")(x)


def _activated(x: Any, name: str, by_image: bool) -> Any:
    if by_image:
        x = layers.GroupNormalization(groups=-1, name=f"{name}_norm")(x)
    else:
        x = layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_norm")(x)
    return layers.Activation("relu", name=f"{name}_relu")(x)


def _local_contrast(x: Any, size_px: int) -> Any:
    """``x`` less its mean over a window, divided by the deviation in it: exposure differs over a chest, ribs do not.

    ``AveragePooling2D`` with ``same`` leaves padding out of the mean, so borders need no care.
    """
    window = max(size_px // 8, 3) | 1

    def smooth(values: Any, name: str) -> Any:
        return layers.AveragePooling2D(window, 1, "same", dtype="float32", name=f"local_{name}")(values)

    centred = layers.Subtract(dtype="float32", name="local_centred")([x, smooth(x, "mean")])
    squared = layers.Multiply(dtype="float32", name="local_squared")([centred, centred])
    deviation = keras.ops.sqrt(smooth(squared, "variance") + 0.01)
    return keras.ops.divide(centred, deviation)


def build_for_training(name: str, *, n_devices: int = 1, **settings: Any) -> keras.Model:
    """``build_network`` with the same weights in the same order, but built for speed and memory; not to be saved.

    The residual CNN keeps Keras' own layers, so that results of its recipes stay what they were, to the bit. On several
    devices normalisation spans them, which the faster layers cannot.
    """
    network = build_network(name, **settings)
    if n_devices > 1:
        return with_synced_norm(network)
    return with_lean_norm(network) if name == "densenet121" else network


def network_with_flip(network: keras.Model) -> keras.Model:
    """The same network, whose answer is the mean of the image's logits and of those of its mirror image.

    Layers are shared and called twice in one flat graph; ``features`` and ``head`` are found by name as before, and
    ``features`` are those of the image as it is.
    """
    mirrored_logits = []

    def call(layer: Any, *arguments: Any, **keywords: Any) -> Any:
        output = layer(*arguments, **keywords)
        if layer.name == HEAD_LAYER:
            mirrored_logits.append(output)
        return output

    mirrored = keras.ops.flip(network.inputs[0], axis=2)
    keras.models.clone_model(network, mirrored, clone_function=lambda layer: layer, call_function=call)
    both = layers.Average(name="both_ways", dtype="float32")([network.output, mirrored_logits[0]])
    return keras.Model(network.inputs[0], both, name=network.name)


_MAKE: dict[str, Callable[[int, int, Any], keras.Model]] = {"residual_cnn": residual_cnn, "densenet121": densenet121}


def options_of(network_options: dict[str, Any], network: str) -> dict[str, Any]:
    """Every option of ``network`` with its value, defaults included: what a run logs."""
    return dataclasses.asdict(options_from(network, network_options))

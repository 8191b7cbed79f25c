"""Batch normalisation over the images of all devices, for training on several; a device alone sees too few of them."""

from __future__ import annotations

import keras


def with_synced_norm(network: keras.Model) -> keras.Model:
    """A network of the same layers, names and weights whose normalisation goes by the whole batch in training.

    Keras' own layer does it, as a chain of operations in float32. In a network for one device it would give the
    values it gives without.
    """

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if type(layer) is keras.layers.BatchNormalization:
            config["synchronized"] = True
        return type(layer).from_config(config)

    synced = keras.models.clone_model(network, clone_function=clone)
    synced.set_weights(network.get_weights())
    return synced

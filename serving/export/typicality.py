"""Typicality in the served graph: ``statistics.typicality`` in TensorFlow ops."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from cxr_tasks.contracts.serving_contract import UNUSUAL_BELOW, TypicalityFit
from cxr_tasks.statistics.typicality import (
    LAST_SHARE,
    LEAST_DISTANCE,
    LEAST_TYPICALITY,
    MOST_TYPICALITY,
    Shape,
)

#: Layer with the features that a network ends in, before they are averaged.
FEATURES = "features"


def typicality_outputs(fit: TypicalityFit | None) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Features (n, h, w, c) of the last convolution -> ``typicality`` float and ``is_unusual`` bool, each (n,).

    {} where nothing was fitted: a version of before has no such outputs.
    """
    if fit is None:
        return lambda features: {}
    shape = Shape.of(fit)
    centre, directions, variances = (
        tf.constant(one, tf.float32) for one in (shape.centre, shape.directions, shape.variances)
    )
    lower, upper = (np.array(one, np.float32) for one in (fit.usual[:-1], fit.usual[1:]))
    share_each = LAST_SHARE / len(lower)

    def outputs(features: tf.Tensor) -> dict[str, tf.Tensor]:
        pooled = tf.reduce_mean(tf.cast(features, tf.float32), axis=[1, 2])
        away = pooled - centre
        along = tf.matmul(away, directions)
        rest = tf.nn.relu(tf.reduce_sum(away**2, 1) - tf.reduce_sum(along**2, 1))
        squared = tf.reduce_sum(along**2 / variances, 1) + rest / shape.rest_variance
        far = 0.5 * tf.math.log(tf.maximum(squared, LEAST_DISTANCE**2))[:, None]
        within = 1.0 - share_each * tf.reduce_sum(tf.clip_by_value((far - lower) / (upper - lower), 0.0, 1.0), 1)
        beyond = tf.nn.relu(far[:, 0] - upper[-1])
        found = tf.clip_by_value(within * tf.exp(-fit.tail_power * beyond), LEAST_TYPICALITY, MOST_TYPICALITY)
        return {"typicality": found, "is_unusual": found < UNUSUAL_BELOW}

    return outputs


def with_pooled_features(model: keras.Model) -> keras.Model:
    """``model`` with a second output: its last features averaged over the image, float32 (n, c)."""
    features = model.get_layer(FEATURES).output
    pooled = keras.ops.mean(keras.ops.cast(features, "float32"), axis=(1, 2))
    return keras.Model(model.inputs, [model.output, pooled])

"""The loss of a multi-label classifier with unknown labels, on logits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf


@dataclass(frozen=True, slots=True)
class ClassWeights:
    """What one positive and one negative label of each finding weigh: float32 ``(n_findings,)`` each."""

    positive: np.ndarray
    negative: np.ndarray


def class_weights(labels: np.ndarray, imbalance: str) -> ClassWeights:
    """Weights from the training labels (float ``(n_images, n_findings)``: 0, 1 or NaN for unknown).

    ``"class_weights"`` gives each class of a finding the same total weight, with mean 1 over the known labels;
    a finding with one class only weighs 1. ``"none"`` weighs everything 1.
    """
    ones = np.ones(labels.shape[1], np.float32)
    if imbalance == "none":
        return ClassWeights(ones, ones)
    n_positive = np.sum(labels == 1, axis=0).astype(np.float64)
    n_negative = np.sum(labels == 0, axis=0).astype(np.float64)
    both = (n_positive > 0) & (n_negative > 0)
    half = (n_positive + n_negative) / 2
    positive = np.where(both, half / np.maximum(n_positive, 1), 1.0)
    negative = np.where(both, half / np.maximum(n_negative, 1), 1.0)
    return ClassWeights(positive.astype(np.float32), negative.astype(np.float32))


def masked_bce(labels: tf.Tensor, logits: tf.Tensor, weights: ClassWeights, label_smoothing: float = 0.0) -> tf.Tensor:
    """Mean weighted binary cross-entropy over the known labels, float32 scalar; 0 where none is known.

    Args:
        labels: float ``(n, n_findings)`` in [0, 1] (in between after mixing), NaN for unknown.
        logits: float ``(n, n_findings)``.
        label_smoothing: s turns a label t into ``t (1 - s) + s / 2``.
    """
    logits = tf.cast(logits, tf.float32)
    is_known = ~tf.math.is_nan(labels)
    # NaN must be gone before the loss: masked after it, the loss is finite and every gradient NaN.
    target = tf.where(is_known, labels, 0.0)
    weight = tf.where(is_known, target * weights.positive + (1.0 - target) * weights.negative, 0.0)
    target = target * (1.0 - label_smoothing) + 0.5 * label_smoothing
    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=target, logits=logits)
    n_known = tf.reduce_sum(tf.cast(is_known, tf.float32))
    return tf.reduce_sum(losses * weight) / tf.maximum(n_known, 1.0)

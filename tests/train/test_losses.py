"""The masked, weighted loss against its formula in numpy; its gradient where labels are unknown."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.tf

NAN = float("nan")


def reference(labels, logits, positive, negative, smoothing):
    total, n = 0.0, 0
    for row, scores in zip(labels, logits, strict=True):
        for finding, (t, z) in enumerate(zip(row, scores, strict=True)):
            if np.isnan(t):
                continue
            weight = t * positive[finding] + (1 - t) * negative[finding]
            smooth = t * (1 - smoothing) + smoothing / 2
            p = 1 / (1 + np.exp(-z))
            total += -weight * (smooth * np.log(p) + (1 - smooth) * np.log(1 - p))
            n += 1
    return total / max(n, 1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_equals_the_formula_over_known_labels(smoothing):
    from cxr_tasks.train.losses import ClassWeights, masked_bce

    labels = np.array([[1, NAN, 0], [0, 1, NAN], [NAN, NAN, NAN], [0.3, 0, 1]], np.float32)
    logits = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    positive, negative = np.array([2, 1, 3], np.float32), np.array([0.5, 1, 0.7], np.float32)
    found = masked_bce(labels, logits, ClassWeights(positive, negative), smoothing).numpy()
    assert found == pytest.approx(reference(labels, logits, positive, negative, smoothing), rel=1e-6)


def test_unknown_labels_leave_no_nan_in_the_gradient():
    import tensorflow as tf

    from cxr_tasks.train.losses import class_weights, masked_bce

    labels = np.array([[1, NAN], [NAN, NAN], [0, NAN]], np.float32)
    logits = tf.Variable([[0.5, 9.0], [1.0, -9.0], [-0.5, 0.0]])
    with tf.GradientTape() as tape:
        loss = masked_bce(labels, logits, class_weights(labels, "class_weights"))
    gradient = tape.gradient(loss, logits).numpy()
    assert np.isfinite(gradient).all()
    assert (gradient != 0).tolist() == [[True, False], [False, False], [True, False]]


def test_a_batch_without_any_known_label_costs_nothing():
    from cxr_tasks.train.losses import class_weights, masked_bce

    labels = np.full((2, 1), NAN, np.float32)
    assert masked_bce(labels, np.ones((2, 1), np.float32), class_weights(labels, "class_weights")).numpy() == 0


def test_class_weights_even_out_the_classes_and_average_one():
    from cxr_tasks.train.losses import class_weights

    labels = np.array([[1], [1], [1], [0], [NAN]], np.float32)
    weights = class_weights(labels, "class_weights")
    assert 3 * weights.positive[0] == pytest.approx(1 * weights.negative[0])
    assert (3 * weights.positive[0] + weights.negative[0]) / 4 == pytest.approx(1)
    assert class_weights(labels, "none").positive.tolist() == [1]


def test_a_finding_of_one_class_weighs_one():
    from cxr_tasks.train.losses import class_weights

    weights = class_weights(np.ones((3, 1), np.float32), "class_weights")
    assert (weights.positive[0], weights.negative[0]) == (1, 1)

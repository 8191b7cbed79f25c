"""Uncertain labels as a class of their own."""

from __future__ import annotations

import numpy as np
import pytest

from cxr_tasks.contracts.train_specs import LossSpec
from cxr_tasks.train.data.label_treatment import Targets
from tests.train.losses.formula import NAN, SPECS, a_batch, gradients, loss_of, training_targets

pytestmark = pytest.mark.tf


@pytest.mark.parametrize("name", SPECS)
def test_a_third_class_needs_its_logits_and_sends_gradients_to_them(name):
    loss = loss_of(name, third_class=True)
    assert loss.needs_uncertain_logits
    values, uncertain, logits, uncertain_logits = a_batch(third_class=True)
    _, (by_logits, by_uncertain, *_) = gradients(loss, values, uncertain, logits, uncertain_logits)
    is_known = ~np.isnan(values[:, 1]) | (uncertain[:, 1] > 0)
    assert ((by_uncertain != 0) == np.outer(is_known, [False, True, False])).all()
    # An uncertain label lowers positive and negative alike; the gradient by "positive" is its three-way probability.
    assert by_logits[0, 1] > 0
    with pytest.raises(ValueError, match="expected logits of 'uncertain'"):
        loss(values, uncertain, logits)


def test_three_way_training_finds_the_odds_of_positive_among_certain_labels():
    """At the optimum of one image seen many times p1 / (p0 + p1) is the share of positives among certain labels."""
    import tensorflow as tf

    from cxr_tasks.train.losses.losses import make_loss

    values = np.array([1] * 3 + [0] * 5 + [NAN] * 4, np.float32)[:, None]
    targets = Targets(values, np.isnan(values))
    loss = make_loss(LossSpec(), targets, "none", 0.0)
    z, u = tf.Variable([[0.0]]), tf.Variable([[0.0]])
    for _ in range(500):
        with tf.GradientTape() as tape:
            value = loss(values, targets.is_uncertain, tf.tile(z, (12, 1)), tf.tile(u, (12, 1)))
        for variable, gradient in zip((z, u), tape.gradient(value, (z, u)), strict=True):
            variable.assign_sub(gradient)
    assert tf.sigmoid(z).numpy().item() == pytest.approx(3 / 8, abs=1e-3)
    assert tf.nn.softmax([0.0, z.numpy().item(), u.numpy().item()])[2].numpy() == pytest.approx(4 / 12, abs=1e-3)


def test_three_class_weights_even_out_the_classes_and_average_one():
    from cxr_tasks.train.losses.losses import three_class_weights

    weights = three_class_weights(training_targets(third_class=True), "class_weights")
    counts = np.array([3, 3, 2])  # of mass: negative, positive, uncertain
    assert weights[1] * counts == pytest.approx(np.full(3, 8 / 3))
    assert weights[[0, 2]].tolist() == [[1, 1, 1]] * 2  # no uncertain labels there
    assert three_class_weights(training_targets(third_class=True), "none").tolist() == [[1, 1, 1]] * 3


# --- what a mask must never move -------------------------------------------------------------------------------

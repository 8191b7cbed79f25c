"""Losses and gradients against the formula."""

from __future__ import annotations

import numpy as np
import pytest

from cxr_tasks.contracts.train_specs import LossSpec
from cxr_tasks.train.data.label_treatment import Targets
from tests.train.losses.formula import NAN, SPECS, WEIGHTED, a_batch, gradients, loss_of, training_targets

pytestmark = pytest.mark.tf


def weights_of(targets: Targets, finding: int) -> dict[str, float]:
    """What a label of each class weighs: all classes of a finding alike in total, mean 1."""
    n = {
        "negative": (targets.values[:, finding] == 0).sum(),
        "positive": (targets.values[:, finding] == 1).sum(),
        "uncertain": targets.is_uncertain[:, finding].sum(),
    }
    n = {name: int(count) for name, count in n.items() if name != "uncertain" or count}
    return {name: sum(n.values()) / len(n) / count for name, count in n.items()}


def label_loss(spec: LossSpec, t: float, z: float, weight: dict[str, float], smoothing: float) -> float:
    p = 1 / (1 + np.exp(-z))
    s = t * (1 - smoothing) + smoothing / 2
    if spec.kind == "focal":
        positive, negative = -((1 - p) ** spec.gamma) * np.log(p), -(p**spec.gamma) * np.log(1 - p)
    elif spec.kind == "asymmetric":
        q = max(p - spec.clip, 0)
        positive = -((1 - p) ** spec.gamma_positive) * np.log(p)
        negative = -(q**spec.gamma_negative) * np.log(1 - q)
    else:
        positive, negative = -np.log(p), -np.log(1 - p)
    return (t * weight["positive"] + (1 - t) * weight["negative"]) * (s * positive + (1 - s) * negative)


def three_way_loss(t: float, u: float, z: float, zu: float, weight: dict[str, float], smoothing: float) -> float:
    shares = np.array([1 - t - u, t, u])
    p = np.exp([0, z, zu]) / np.exp([0, z, zu]).sum()
    smooth = shares * (1 - smoothing) + smoothing / 3
    return shares @ [weight["negative"], weight["positive"], weight["uncertain"]] * -(smooth @ np.log(p))


def reference(spec, targets, values, uncertain, logits, uncertain_logits, smoothing=0.0) -> float:
    """Float64 mean over the known labels."""
    found = []
    for row in range(values.shape[0]):
        for finding in range(values.shape[1]):
            t, z, weight = float(values[row, finding]), float(logits[row, finding]), weights_of(targets, finding)
            u = float(uncertain[row, finding])
            if np.isnan(t) and not u:
                continue
            t = 0.0 if np.isnan(t) else t
            if "uncertain" in weight:
                found.append(three_way_loss(t, u, z, float(uncertain_logits[row, finding]), weight, smoothing))
            else:
                found.append(label_loss(spec, t, z, weight, smoothing))
    return sum(found) / max(len(found), 1)


@pytest.mark.parametrize("third_class", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("name", WEIGHTED)
def test_loss_and_gradients_equal_the_formula_in_float64(name, smoothing, third_class):
    loss, targets = loss_of(name, third_class=third_class, smoothing=smoothing), training_targets(third_class)
    values, uncertain, logits, uncertain_logits = a_batch(third_class=third_class)

    def at(z, zu):
        return reference(SPECS[name], targets, values, uncertain, z, zu, smoothing)

    found, (by_logits, by_uncertain) = gradients(loss, values, uncertain, logits, uncertain_logits)
    z, zu = logits.astype(np.float64), uncertain_logits.astype(np.float64)
    assert found == pytest.approx(at(z, zu), rel=2e-6)
    step = 1e-5
    for place in np.ndindex(*logits.shape):
        by = np.zeros(logits.shape)
        by[place] = step
        assert by_logits[place] == pytest.approx((at(z + by, zu) - at(z - by, zu)) / (2 * step), rel=1e-4, abs=1e-7)
        assert by_uncertain[place] == pytest.approx((at(z, zu + by) - at(z, zu - by)) / (2 * step), rel=1e-4, abs=1e-7)


@pytest.mark.parametrize(
    "spec",
    [LossSpec(kind="focal", gamma=0.0), LossSpec(kind="asymmetric", gamma_positive=0.0, gamma_negative=0.0, clip=0.0)],
)
def test_without_its_exponents_a_loss_is_cross_entropy(spec):
    from cxr_tasks.train.losses.losses import class_weights, make_loss, masked_bce

    targets, (values, uncertain, logits, _) = training_targets(), a_batch()
    plain = masked_bce(values, logits, class_weights(targets.values, "class_weights"), 0.1).numpy()
    found = make_loss(spec, targets, "class_weights", 0.1)(values, uncertain, logits).numpy()
    assert found == pytest.approx(plain, rel=1e-6)


def test_weighted_cross_entropy_is_the_same_to_the_bit_as_before_it_had_siblings():
    import tensorflow as tf

    from cxr_tasks.train.losses.losses import class_weights, make_loss, masked_bce

    targets, (values, uncertain, logits, _) = training_targets(), a_batch()
    weights = class_weights(targets.values, "class_weights")
    is_known = ~tf.math.is_nan(values)
    target = tf.where(is_known, values, 0.0)
    weight = tf.where(is_known, target * weights.positive + (1.0 - target) * weights.negative, 0.0)
    target = target * (1.0 - 0.05) + 0.5 * 0.05
    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=target, logits=logits)
    before = tf.reduce_sum(losses * weight) / tf.maximum(tf.reduce_sum(tf.cast(is_known, tf.float32)), 1.0)
    assert masked_bce(values, logits, weights, 0.05).numpy().tobytes() == before.numpy().tobytes()
    loss = make_loss(LossSpec(), targets, "class_weights", 0.05)
    assert loss(values, uncertain, logits).numpy().tobytes() == before.numpy().tobytes()
    assert loss.variables == [] and not loss.needs_uncertain_logits


@pytest.mark.parametrize(
    ("p", "t", "expected"),
    [
        (0.9, 1, 0.01 * 0.105361),        # an easy positive counts a hundredth of its cross-entropy
        (0.1, 1, 0.81 * 2.302585),        # a hard one nearly all of it
        (0.1, 0, 0.01 * 0.105361),
    ],
)  # fmt: skip
def test_focal_loss_of_one_label(p, t, expected):
    from cxr_tasks.train.losses.losses import make_loss

    loss = make_loss(SPECS["focal"], training_targets(), "none", 0.0)
    values = np.array([[t, NAN, NAN]], np.float32)
    logits = np.full((1, 3), np.log(p / (1 - p)), np.float32)
    assert loss(values, np.zeros_like(values), logits).numpy() == pytest.approx(expected, rel=1e-4)


def test_asymmetric_loss_forgets_negatives_below_its_clip():
    loss = loss_of("asymmetric")
    values = np.zeros((1, 3), np.float32)
    logits = np.log(np.array([[0.04, 0.0499, 0.03]]) / (1 - np.array([[0.04, 0.0499, 0.03]]))).astype(np.float32)
    found, (by_logits, _) = gradients(loss, values, np.zeros_like(values), logits, logits)
    assert found == 0 and not by_logits.any()


@pytest.mark.parametrize("name", SPECS)
def test_far_off_logits_give_finite_losses_and_gradients(name):
    loss = loss_of(name, third_class=True)
    values = np.array([[1, 1, 0], [0, 0, 1], [1, NAN, 0], [0, 1, 1]], np.float32)
    uncertain = np.zeros_like(values)
    uncertain[2, 1] = 1
    logits = np.array([[-90, 90, 90], [90, -90, -90], [200, 200, -200], [0, 0, 0]], np.float32)
    found, all_gradients = gradients(loss, values, uncertain, logits, -logits)
    assert np.isfinite(found) and all(np.isfinite(one).all() for one in all_gradients)


# --- three classes ---------------------------------------------------------------------------------------------

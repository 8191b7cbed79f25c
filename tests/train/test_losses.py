"""Each loss against its formula in float64, gradients against central differences, what a mask must never move."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_tasks.contracts.train_specs import LossSpec
from cxr_tasks.train.data.label_treatment import Targets

pytestmark = pytest.mark.tf

NAN = float("nan")
N_FINDINGS = 3
SPECS = {
    "weighted_bce": LossSpec(),
    "focal": LossSpec(kind="focal", gamma=2.0),
    "focal, weak": LossSpec(kind="focal", gamma=0.5),
    "asymmetric": LossSpec(kind="asymmetric"),
    "asymmetric, unclipped": LossSpec(kind="asymmetric", gamma_positive=1.0, gamma_negative=2.5, clip=0.0),
    "auc_margin": LossSpec(kind="auc_margin"),
}


def training_targets(third_class: bool = False) -> Targets:
    """What class weights follow from: positives to negatives 2:6, 3:3 with two masked or uncertain, 6:2."""
    values = np.array(
        [[1, 1, 1], [0, 0, 1], [0, 1, 1], [0, 0, 0], [1, 1, 1], [0, 0, 1], [0, NAN, 1], [0, NAN, 0]], np.float32
    )
    is_uncertain = np.zeros(values.shape, bool)
    if third_class:
        is_uncertain[[6, 7], 1] = True
    return Targets(values, is_uncertain)


def loss_of(name: str, *, third_class: bool = False, smoothing: float = 0.0, imbalance: str = "class_weights"):
    from cxr_tasks.train.losses.losses import make_loss

    loss = make_loss(SPECS[name], training_targets(third_class), imbalance, smoothing)
    for variable, value in zip(loss.variables, ([0.7, 0.6, 0.5], [0.2, 0.3, 0.4], [0.1, 0.5, 0.3]), strict=False):
        variable.assign(np.array(value, np.float32))
    return loss


# --- the formulas, in float64, label by label ------------------------------------------------------------------


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


def a_batch(seed: int = 0, n: int = 12, third_class: bool = False):
    """values, share of "uncertain", logits and logits of "uncertain" with known, soft and masked labels."""
    rng = np.random.default_rng(seed)
    values = rng.choice([0, 1, NAN, 0.3, 0.9], (n, N_FINDINGS), p=[0.35, 0.3, 0.15, 0.1, 0.1]).astype(np.float32)
    values[3] = NAN  # an image of which nothing is known
    uncertain = np.zeros(values.shape, np.float32)
    if third_class:
        uncertain[[0, 5], 1], values[[0, 5], 1] = 1, NAN
        uncertain[7, 1], values[7, 1] = 0.25, 0.5  # mixed
    logits, uncertain_logits = rng.normal(scale=2, size=(2, n, N_FINDINGS)).astype(np.float32)
    return values, uncertain, logits, uncertain_logits


def gradients(loss, values, uncertain, logits, uncertain_logits) -> tuple[float, list[np.ndarray]]:
    """The loss and its gradients by logits, logits of "uncertain" and the loss' own variables."""
    import tensorflow as tf

    tensors = [tf.constant(logits), tf.constant(uncertain_logits), *(one.value for one in loss.variables)]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = loss(tf.constant(values), tf.constant(uncertain), tensors[0], tensors[1])
    found = tape.gradient(value, tensors, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    assert value.dtype == tf.float32 and value.shape == ()
    return float(value), [one.numpy() for one in found]


# --- against the formulas --------------------------------------------------------------------------------------

WEIGHTED = [name for name in SPECS if name != "auc_margin"]  # its own tests are in test_auc_margin.py


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

numbers = st.floats(-30, 30, width=32)


@st.composite
def masked_batches(draw):
    """A batch with some labels masked, and other logits for those."""
    n = draw(st.integers(1, 6))

    def table(items, of):
        return np.array(draw(st.lists(items, min_size=n * N_FINDINGS, max_size=n * N_FINDINGS)), of).reshape(n, -1)

    values = table(st.sampled_from([0.0, 1.0, NAN, NAN, 0.25]), np.float32)
    uncertain = np.zeros_like(values)
    uncertain[:, 1] = np.isnan(values[:, 1]) & (table(st.booleans(), bool)[:, 1])
    logits, uncertain_logits, others = (table(numbers, np.float32) for _ in range(3))
    return values, uncertain, logits, uncertain_logits, others


@pytest.mark.parametrize("name", SPECS)
@settings(max_examples=40, deadline=None)
@given(batch=masked_batches())
def test_a_masked_label_never_moves_the_loss_or_any_gradient(name, batch):
    values, uncertain, logits, uncertain_logits, others = batch
    loss = loss_of(name, third_class=True)
    is_masked = np.isnan(values) & (uncertain == 0)
    found, found_gradients = gradients(loss, values, uncertain, logits, uncertain_logits)
    moved = [np.where(is_masked, others, one) for one in (logits, uncertain_logits)]
    again, again_gradients = gradients(loss, values, uncertain, *moved)
    assert found == again
    for before, after in zip(found_gradients, again_gradients, strict=True):
        assert np.isfinite(before).all() and np.array_equal(before, after)
    for by_logits in found_gradients[:2]:
        assert not by_logits[is_masked].any()


@pytest.mark.parametrize("name", WEIGHTED)
@settings(max_examples=25, deadline=None)
@given(batch=masked_batches())
def test_images_without_any_known_label_change_nothing(name, batch):
    values, uncertain, logits, uncertain_logits, others = batch
    loss = loss_of(name, third_class=True)
    found, (by_logits, *_) = gradients(loss, values, uncertain, logits, uncertain_logits)
    unknown = np.full_like(values, NAN)
    longer = [
        np.concatenate(pair)
        for pair in [(values, unknown), (uncertain, 0 * uncertain), (logits, others), (uncertain_logits, others)]
    ]
    again, (by_longer, *_) = gradients(loss, *longer)
    assert again == pytest.approx(found, rel=1e-5, abs=1e-7)
    assert by_longer[: len(values)] == pytest.approx(by_logits, rel=1e-5, abs=1e-8)
    assert not by_longer[len(values) :].any()


@pytest.mark.parametrize("third_class", [False, True])
@pytest.mark.parametrize("name", SPECS)
def test_a_batch_without_any_known_label_costs_nothing_and_moves_nothing(name, third_class):
    values = np.full((4, N_FINDINGS), NAN, np.float32)
    logits = np.random.default_rng(0).normal(size=values.shape).astype(np.float32)
    found, all_gradients = gradients(loss_of(name, third_class=third_class), values, 0 * logits, logits, logits)
    assert found == 0
    assert not any(one.any() for one in all_gradients)


@pytest.mark.parametrize("name", SPECS)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**16))
def test_the_order_of_images_does_not_matter(name, seed):
    loss, batch = loss_of(name, third_class=True), a_batch(seed, third_class=True)
    order = np.random.default_rng(seed).permutation(len(batch[0]))
    found, (by_logits, by_uncertain, *_) = gradients(loss, *batch)
    again, (by_logits_again, by_uncertain_again, *_) = gradients(loss, *(one[order] for one in batch))
    assert again == pytest.approx(found, rel=1e-5)
    assert by_logits_again == pytest.approx(by_logits[order], rel=1e-4, abs=1e-7)
    assert by_uncertain_again == pytest.approx(by_uncertain[order], rel=1e-4, abs=1e-7)


# --- class weights ---------------------------------------------------------------------------------------------


def test_class_weights_even_out_the_classes_and_average_one():
    from cxr_tasks.train.losses.losses import class_weights

    labels = np.array([[1], [1], [1], [0], [NAN], [0.7]], np.float32)  # a soft label is of no class
    weights = class_weights(labels, "class_weights")
    assert 3 * weights.positive[0] == pytest.approx(1 * weights.negative[0])
    assert (3 * weights.positive[0] + weights.negative[0]) / 4 == pytest.approx(1)
    assert class_weights(labels, "none").positive.tolist() == [1]


def test_a_finding_of_one_class_weighs_one():
    from cxr_tasks.train.losses.losses import class_weights

    weights = class_weights(np.ones((3, 1), np.float32), "class_weights")
    assert (weights.positive[0], weights.negative[0]) == (1, 1)

"""AUC-margin loss and its optimizer against float64 references, and what they do for the AUROC."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.tf

NAN = float("nan")


def reference(values, logits, a, b, alpha, margin=1.0, smoothing=0.0) -> np.ndarray:
    """F of each finding in float64, image by image."""
    losses = []
    for finding in range(values.shape[1]):
        known = ~np.isnan(values[:, finding])
        t, h = values[known, finding].astype(float), 1 / (1 + np.exp(-logits[known, finding].astype(float)))
        if not (t > 0.5).any() or not (t < 0.5).any():
            losses.append(0.0)
            continue
        t = t * (1 - smoothing) + smoothing / 2
        positive, negative = t / t.sum(), (1 - t) / (1 - t).sum()
        losses.append(
            positive @ (h - a[finding]) ** 2
            + negative @ (h - b[finding]) ** 2
            + 2 * alpha[finding] * (margin + negative @ h - positive @ h)
            - alpha[finding] ** 2
        )
    return np.array(losses)


def a_batch():
    """Findings: plain, with soft and masked labels, positives only, no known label."""
    rng = np.random.default_rng(1)
    values = rng.integers(0, 2, (10, 4)).astype(np.float32)
    values[:4, 1] = [0.8, 0.3, NAN, NAN]
    values[:, 2], values[:, 3] = 1, NAN
    return values, rng.normal(scale=1.5, size=values.shape).astype(np.float32)


A, B, ALPHA = (np.array(one) for one in ([0.8, 0.7, 0.6, 0.5], [0.1, 0.2, 0.3, 0.4], [0.3, 0.9, 0.2, 0.1]))


def auc_margin(margin: float = 1.0):
    from cxr_tasks.train.losses.auc_margin import AucMargin

    loss = AucMargin(4, margin)
    for variable, value in zip(loss.variables, (A, B, ALPHA), strict=True):
        variable.assign(value)
    return loss


@pytest.mark.parametrize("margin", [1.0, 0.6])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_of_each_finding_equals_the_formula(margin, smoothing):
    values, logits = a_batch()
    found = auc_margin(margin).finding_losses(values, logits, smoothing).numpy()
    expected = reference(values, logits, A, B, ALPHA, margin, smoothing)
    assert found == pytest.approx(expected, rel=2e-6)
    assert (expected != 0).tolist() == [True, True, False, False]


def test_loss_of_three_images_by_hand():
    from cxr_tasks.train.losses.auc_margin import AucMargin

    loss = AucMargin(1, margin=1.0)
    loss.alpha.assign([0.5])
    logits = np.log(np.array([[0.9], [0.2], [0.4]]) / (1 - np.array([[0.9], [0.2], [0.4]])))
    # 0.9^2 + (0.2^2 + 0.4^2) / 2 + 2 * 0.5 * (1 + 0.3 - 0.9) - 0.5^2
    found = loss.finding_losses(np.array([[1], [0], [0]], np.float32), logits.astype(np.float32)).numpy()
    assert found[0] == pytest.approx(0.81 + 0.1 + 0.4 - 0.25, rel=1e-5)


def test_gradients_equal_central_differences_in_float64():
    import tensorflow as tf

    (values, logits), loss = a_batch(), auc_margin()
    at = tf.constant(logits)
    variables = [one.value for one in loss.variables]
    with tf.GradientTape() as tape:
        tape.watch([at, *variables])
        total = tf.reduce_sum(loss.finding_losses(values, at))
    found = tape.gradient(total, [at, *variables])
    arguments = [logits.astype(float), A, B, ALPHA]
    for number, gradient in enumerate(found):
        for place in np.ndindex(*gradient.shape):
            sides = []
            for step in (1e-5, -1e-5):
                moved = [one.copy() for one in arguments]
                moved[number][place] += step
                sides.append(reference(values, *moved).sum())
            assert gradient.numpy()[place] == pytest.approx((sides[0] - sides[1]) / 2e-5, rel=1e-4, abs=1e-7)


def test_at_its_saddle_point_the_loss_is_the_mean_squared_loss_over_all_pairs():
    """What the three variables are for: with their best values F is the loss over pairs (Yuan et al., eq. 4)."""
    from cxr_tasks.train.losses.auc_margin import AucMargin

    values, logits = (one[:, :1] for one in a_batch())
    h = 1 / (1 + np.exp(-logits[:, 0].astype(float)))
    positive, negative = h[values[:, 0] == 1], h[values[:, 0] == 0]
    loss = AucMargin(1, margin=1.0)
    for variable, value in zip(
        loss.variables, (positive.mean(), negative.mean(), 1 + negative.mean() - positive.mean()), strict=True
    ):
        variable.assign([value])
    pairs = (1 - (positive[:, None] - negative[None, :])) ** 2
    assert loss.finding_losses(values, logits).numpy()[0] == pytest.approx(pairs.mean(), rel=1e-5)


# --- the optimizer ---------------------------------------------------------------------------------------------

SETTINGS = {"updates_per_epoch": 2, "epoch_decay": 0.1, "weight_decay": 0.05, "clip_norm": 1.0}
RATE = 0.1


def gradients_of_step(step: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(step)
    of = {"kernel": rng.normal(size=(2, 3)), "bias": rng.normal(size=3)}
    # alpha is driven below 0 in the third step.
    drive = -9.0 if step == 2 else 1.0
    return of | {name: rng.normal(size=4) / 4 for name in ("a", "b")} | {"alpha": drive * np.array([1, 0.5, 0.2, 0.1])}


def reference_steps(start: dict[str, np.ndarray], n_steps: int) -> dict[str, np.ndarray]:
    """The rule of ``AucMarginOptimizer`` in float64."""
    v = {name: value.astype(float).copy() for name, value in start.items()}
    reference_v = {name: value.copy() for name, value in v.items()}
    sums, momenta = {name: np.zeros_like(value) for name, value in v.items()}, {}
    for step in range(n_steps):
        gradients = gradients_of_step(step)
        norm = np.sqrt(sum((gradients[name] ** 2).sum() for name in ("kernel", "bias")))
        for name, value in v.items():
            sums[name] += value
            scale = min(1, SETTINGS["clip_norm"] / norm) if name in ("kernel", "bias") else 4
            gradient = scale * gradients[name]
            if name == "alpha":
                v[name] = np.maximum(value + RATE * gradient, 0)
                continue
            decayed = value - RATE * SETTINGS["weight_decay"] * value if name == "kernel" else value
            direction = gradient + SETTINGS["epoch_decay"] * (decayed - reference_v[name])
            momenta[name] = direction if step == 0 else 0.9 * momenta[name] + 0.1 * direction
            v[name] = decayed - RATE * momenta[name]
        if (step + 1) % SETTINGS["updates_per_epoch"] == 0:
            reference_v = {name: total / SETTINGS["updates_per_epoch"] for name, total in sums.items()}
            sums = {name: np.zeros_like(value) for name, value in v.items()}
    return v


def a_network_and_loss():
    """Keras variables by name, and an optimizer built on them."""
    import keras

    from cxr_tasks.train.losses.auc_margin import make_auc_margin_optimizer

    loss = auc_margin()
    kernel = keras.Variable(np.arange(6, dtype=np.float32).reshape(2, 3), name="kernel")
    bias = keras.Variable(np.ones(3, np.float32), name="bias")
    variables = {"kernel": kernel, "bias": bias, "a": loss.a, "b": loss.b, "alpha": loss.alpha}
    optimizer = make_auc_margin_optimizer(loss.variables, RATE, **SETTINGS)
    optimizer.build(list(variables.values()))
    return variables, optimizer


def take_steps(variables, optimizer, steps) -> None:
    import tensorflow as tf

    apply = tf.function(lambda *gradients: optimizer.apply(gradients, list(variables.values())))
    for step in steps:
        gradients = gradients_of_step(step)
        apply(*(tf.constant(gradients[name], tf.float32) for name in variables))


@pytest.mark.parametrize("n_steps", [1, 3, 5])
def test_steps_equal_the_rule_in_float64(n_steps):
    variables, optimizer = a_network_and_loss()
    start = {name: variable.numpy().copy() for name, variable in variables.items()}
    take_steps(variables, optimizer, range(n_steps))
    for name, expected in reference_steps(start, n_steps).items():
        assert variables[name].numpy() == pytest.approx(expected, rel=1e-5, abs=1e-6), name
    assert int(optimizer.iterations.numpy()) == n_steps
    if n_steps == 3:
        assert variables["alpha"].numpy()[0] == 0  # held at its bound


def test_steps_after_a_restored_state_are_the_same_to_the_bit():
    variables, optimizer = a_network_and_loss()
    take_steps(variables, optimizer, range(3))
    state = [one.numpy() for one in (*variables.values(), *optimizer.variables)]
    take_steps(variables, optimizer, range(3, 5))

    again, fresh = a_network_and_loss()
    for variable, value in zip((*again.values(), *fresh.variables), state, strict=True):
        variable.assign(value)
    take_steps(again, fresh, range(3, 5))
    for name in variables:
        assert np.array_equal(variables[name].numpy(), again[name].numpy()), name


def test_the_learning_rate_follows_a_schedule():
    import keras

    from cxr_tasks.train.losses.auc_margin import make_auc_margin_optimizer

    schedule = keras.optimizers.schedules.CosineDecay(0.2, 4)
    optimizer = make_auc_margin_optimizer(auc_margin().variables, schedule, **SETTINGS)
    assert float(optimizer.learning_rate) == pytest.approx(0.2)
    optimizer.iterations.assign(2)
    assert float(optimizer.learning_rate) == pytest.approx(0.1)


def test_loss_and_optimizer_bring_the_auroc_of_a_separable_problem_to_one():
    """5 % positives, found by one of 10 features; the start ranks them upside down."""
    import keras
    import tensorflow as tf

    from cxr_tasks.contracts.train_specs import LossSpec
    from cxr_tasks.train.data.label_treatment import Targets
    from cxr_tasks.train.loop.validation import mean_auroc
    from cxr_tasks.train.losses.auc_margin import make_auc_margin_optimizer
    from cxr_tasks.train.losses.losses import make_loss

    rng = np.random.default_rng(0)
    labels = (np.arange(400) % 20 == 0).astype(np.float32)[:, None]
    features = rng.normal(size=(400, 10)).astype(np.float32)
    features[:, 0] = np.abs(features[:, 0]) * np.where(labels[:, 0] == 1, 1, -1) + 0.3 * labels[:, 0]
    kernel = keras.Variable(np.full((10, 1), -0.1, np.float32), name="kernel")
    loss = make_loss(LossSpec(kind="auc_margin"), Targets.of_labels(labels), "none", 0.0)
    optimizer = make_auc_margin_optimizer(
        loss.variables, 0.1, updates_per_epoch=10, epoch_decay=2e-3, weight_decay=0.0, clip_norm=1.0
    )
    variables = [kernel, *loss.variables]
    optimizer.build(variables)

    @tf.function
    def step(x, y):
        tensors = [one.value for one in variables]
        with tf.GradientTape() as tape:
            value = loss(y, tf.zeros_like(y), x @ kernel.value)
        optimizer.apply(tape.gradient(value, tensors), variables)

    before = mean_auroc(labels, features @ kernel.numpy())
    for epoch in range(100):
        for rows in np.array_split(np.random.default_rng(epoch).permutation(400), 10):
            step(tf.constant(features[rows]), tf.constant(labels[rows]))
    assert before < 0.5
    assert mean_auroc(labels, features @ kernel.numpy()) == 1.0
    a, b, alpha = (one.numpy()[0] for one in loss.variables)
    scores = 1 / (1 + np.exp(-features @ kernel.numpy()[:, 0]))
    assert a == pytest.approx(scores[labels[:, 0] == 1].mean(), abs=0.05)
    assert b == pytest.approx(scores[labels[:, 0] == 0].mean(), abs=0.05)
    assert 0 <= alpha == pytest.approx(max(1 + b - a, 0), abs=0.1)

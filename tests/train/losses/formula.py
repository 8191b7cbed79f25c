"""Every loss in float64, label by label, after its formula."""

from __future__ import annotations

import numpy as np

from cxr_tasks.contracts.train_specs import LossSpec
from cxr_tasks.train.data.label_treatment import Targets

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

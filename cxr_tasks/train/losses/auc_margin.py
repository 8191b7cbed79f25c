"""AUC-margin loss (AUCM, version 2) and the optimizer of its min-max problem (PESG).

The squared loss between every positive and every negative image, which is a surrogate of 1 - AUROC, written with
three variables per finding so that a batch needs no pairs. Version 2 works on means within each class, so the share
of positives does not enter.

Sources: Yuan et al., Large-scale Robust Deep AUC Maximization, ICCV 2021; version 2 and the update of the reference
as in LibAUC's documentation (Yuan et al., KDD 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from cxr_tasks.train.losses.optimizers import TakesGradientsOfTheWholeBatch

#: Weight of the past in the running mean of gradients.
MOMENTUM = 0.9


class AucMargin:
    """The loss of each finding on h = sigmoid(logit), and its variables a, b and alpha, ``(n_findings,)`` each.

    F = mean over positives of (h - a)^2 + mean over negatives of (h - b)^2
        + 2 alpha (margin + mean over negatives of h - mean over positives of h) - alpha^2,

    to be minimised in the network, a and b, and maximised in alpha >= 0. a and b come to stand for the mean score of
    positives and of negatives; alpha for what their difference lacks of the margin.
    """

    def __init__(self, n_findings: int, margin: float):
        self._margin = margin
        # Outside any precision policy: the steps of these sums are smaller than bfloat16 can tell.
        self.a, self.b, self.alpha = (
            keras.Variable(tf.zeros(n_findings), dtype="float32", autocast=False, name=f"auc_margin_{name}")
            for name in ("a", "b", "alpha")
        )

    @property
    def variables(self) -> list[keras.Variable]:
        return [self.a, self.b, self.alpha]

    def finding_losses(self, values: tf.Tensor, logits: tf.Tensor, label_smoothing: float = 0.0) -> tf.Tensor:
        """F of each finding, float32 ``(n_findings,)``; 0 where the batch has not both classes of it.

        Args:
            values: float ``(n, n_findings)`` in [0, 1], NaN for masked. A label in between counts with its share to
                the positives and with the rest to the negatives.
        """
        scores = tf.sigmoid(tf.cast(logits, tf.float32))
        is_known = ~tf.math.is_nan(values)
        target = tf.where(is_known, values, 0.0)
        has_positive = tf.reduce_any(is_known & (target > 0.5), axis=0)
        has_negative = tf.reduce_any(is_known & (target < 0.5), axis=0)
        smooth = target * (1.0 - label_smoothing) + 0.5 * label_smoothing
        known = tf.cast(is_known, tf.float32)
        of_positive, of_negative = _shares(smooth * known), _shares((1.0 - smooth) * known)
        a, b, alpha = (tf.convert_to_tensor(variable.value) for variable in self.variables)
        spread = _mean(of_positive, tf.square(scores - a)) + _mean(of_negative, tf.square(scores - b))
        gap = _mean(of_negative, scores) - _mean(of_positive, scores)
        losses = spread + 2.0 * alpha * (self._margin + gap) - tf.square(alpha)
        return tf.where(has_positive & has_negative, losses, 0.0)


def _shares(weights: tf.Tensor) -> tf.Tensor:
    """Weights ``(n, k)`` with sum 1 per column; zeros stay zeros."""
    return tf.math.divide_no_nan(weights, tf.reduce_sum(weights, axis=0))


def _mean(shares: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(shares * values, axis=0)


class AucMarginOptimizer(TakesGradientsOfTheWholeBatch, keras.optimizers.Optimizer):
    """Proximal epoch stochastic gradient: descent on the weights, a and b, ascent on alpha.

    One step, with the learning rate r, on v (weights, a, b), its reference and alpha::

        d = gradient + epoch_decay (v - reference)      m = momentum m + (1 - momentum) d   (m = d at first)
        v = v - r m - r weight_decay v                  alpha = max(alpha + r gradient, 0)

    The reference is v at the start, and after each epoch the mean of v over that epoch. All of this is in
    ``variables``, so a saved state goes on where it was. a, b and alpha of a finding follow the gradient of that
    finding's own loss, not of its n-th part in the mean; they are neither decayed nor clipped.
    """

    def __init__(
        self,
        loss_variables: Sequence[keras.Variable],
        learning_rate: Any,
        *,
        updates_per_epoch: int,
        epoch_decay: float,
        weight_decay: float | None = None,
        clip_norm: float | None = None,
        momentum: float = MOMENTUM,
    ):
        super().__init__(learning_rate, weight_decay=weight_decay, name="auc_margin_optimizer")
        self._loss_keys = {self._var_key(variable) for variable in loss_variables}
        self._alpha_key = self._var_key(loss_variables[-1])
        self._n_findings = float(loss_variables[-1].shape[0])
        self._updates_per_epoch, self._epoch_decay = updates_per_epoch, epoch_decay
        self._clip_norm, self._momentum = clip_norm, momentum
        self.exclude_from_weight_decay(var_list=list(loss_variables), var_names=["bias", "gamma", "beta"])

    def build(self, variables: list[Any]) -> None:
        """State for ``variables``; the values they have now are the first reference."""
        if self.built:
            return
        super().build(variables)
        descending = [variable for variable in variables if self._var_key(variable) != self._alpha_key]
        self._descending = {self._var_key(weight): place for place, weight in enumerate(descending)}
        self._followed = [weight.value if isinstance(weight, keras.Variable) else weight for weight in descending]
        self._momenta = self.add_optimizer_variables(descending, "momentum")
        self._references = self.add_optimizer_variables(descending, "reference")
        self._sums = self.add_optimizer_variables(descending, "epoch_sum")
        for reference, weight in zip(self._references, self._followed, strict=True):
            reference.assign(weight)

    def apply(self, grads: Sequence[tf.Tensor], trainable_variables: Any = None) -> None:
        """One step. Before it the weights enter the mean of the epoch, with all that was done to them since."""
        variables = list(self._trainable_variables if trainable_variables is None else trainable_variables)
        if not self.built:
            self.build(variables)
        for total, weight in zip(self._sums, self._followed, strict=True):
            total.assign_add(weight)
        super().apply(self._scaled(grads, variables), variables)
        is_last_of_epoch = tf.equal(self.iterations.value % self._updates_per_epoch, 0)
        tf.cond(is_last_of_epoch, self._renew_references, lambda: tf.constant(False))

    def _scaled(self, grads: Sequence[tf.Tensor], variables: list[Any]) -> list[tf.Tensor]:
        """Gradients of the network clipped to a common norm; those of the loss' variables as of a sum of losses."""
        is_loss = [self._var_key(variable) in self._loss_keys for variable in variables]
        network = [gradient for gradient, of_loss in zip(grads, is_loss, strict=True) if not of_loss]
        if self._clip_norm is not None:
            network, _ = tf.clip_by_global_norm(network, self._clip_norm)
        rest = iter(network)
        return [
            gradient * self._n_findings if of_loss else next(rest)
            for gradient, of_loss in zip(grads, is_loss, strict=True)
        ]

    def _renew_references(self) -> tf.Tensor:
        for reference, total in zip(self._references, self._sums, strict=True):
            reference.assign(total / self._updates_per_epoch)
            total.assign(tf.zeros_like(total))
        return tf.constant(True)

    def update_step(self, gradient: tf.Tensor, variable: Any, learning_rate: Any) -> None:
        rate = tf.cast(learning_rate, variable.dtype)
        key = self._var_key(variable)
        if key == self._alpha_key:
            self.assign(variable, tf.maximum(variable + rate * gradient, 0.0))
            return
        place = self._descending[key]
        momentum = self._momenta[place]
        direction = gradient + self._epoch_decay * (variable - self._references[place])
        mean = self._momentum * momentum + (1.0 - self._momentum) * direction
        self.assign(momentum, tf.where(tf.equal(self.iterations.value, 0), direction, mean))
        self.assign_sub(variable, rate * momentum)


def make_auc_margin_optimizer(
    loss_variables: Sequence[keras.Variable],
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
    *,
    updates_per_epoch: int,
    epoch_decay: float,
    weight_decay: float,
    clip_norm: float | None,
) -> AucMarginOptimizer:
    """The optimizer for a loss with ``variables`` (a, b, alpha), to be built on the network's and on these."""
    return AucMarginOptimizer(
        loss_variables,
        learning_rate,
        updates_per_epoch=updates_per_epoch,
        epoch_decay=epoch_decay,
        weight_decay=weight_decay,
        clip_norm=clip_norm,
    )

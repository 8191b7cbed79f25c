"""One update of the weights: gradients of one or several batches, clipped, applied, slowed per block, averaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cxr_tasks.train.loop.devices import Devices

Batch = Sequence[tf.Tensor]
LossOf = Callable[..., tf.Tensor]


class WeightAverage:
    """Exponential average of some variables, short-sighted in the first steps."""

    def __init__(self, variables: Sequence[keras.Variable], momentum: float):
        self._followed = [variable.value for variable in variables]
        self._momentum = momentum
        self.values = [tf.Variable(variable) for variable in self._followed]
        self._by_variable = {id(variable): value for variable, value in zip(variables, self.values, strict=True)}

    def of(self, variable: keras.Variable) -> np.ndarray:
        """The average of ``variable``, or its value where it is not averaged."""
        return self._by_variable.get(id(variable), variable.value).numpy()

    def update(self, n_updates: tf.Tensor) -> None:
        """To be called after each update of the weights; ``n_updates`` counts them."""
        step = tf.cast(n_updates, tf.float32)
        momentum = tf.minimum(self._momentum, (1.0 + step) / (10.0 + step))
        for average, value in zip(self.values, self._followed, strict=True):
            average.assign(average + (1.0 - momentum) * (value - average))


class UpdateStep:
    """Batches into weights.

    Args:
        loss_of: A batch's tensors -> scalar loss.
        variables: What learns: Keras variables, or plain ones of the loss.
        rates: Of each variable, a factor on every change that the optimizer makes to it, weight decay included.
        accumulate_steps: Batches whose gradients are averaged for one update.
        devices: That share each batch; make optimizer, variables, average and this in their scope.
    """

    def __init__(
        self,
        loss_of: LossOf,
        optimizer: keras.optimizers.Optimizer,
        variables: Sequence[Any],
        rates: Sequence[float],
        *,
        average: WeightAverage,
        accumulate_steps: int,
        devices: Devices | None = None,
    ):
        self._devices = devices or Devices()
        self._loss_of, self._optimizer, self._average = loss_of, optimizer, average
        self._variables = list(variables)
        self._tensors = [
            getattr(variable, "value", variable) if isinstance(variable, keras.Variable) else variable
            for variable in variables
        ]
        self._slowed = [(tensor, rate) for tensor, rate in zip(self._tensors, rates, strict=True) if rate != 1.0]
        self._accumulate_steps, self._n_waiting = accumulate_steps, 0
        # Gradients never wait over the end of an epoch, so they are no part of a run's state.
        self._sums = [tf.Variable(tf.zeros_like(tensor)) for tensor in self._tensors] if accumulate_steps > 1 else []
        self._update = self._devices.compiled(self._update_at_once)
        self._add = self._devices.compiled(self._add_to_sums)
        self._flush = self._devices.compiled(self._update_from_sums)

    def __call__(self, batch: Batch, *, is_last_of_epoch: bool) -> tf.Tensor:
        """The loss of ``batch``; the weights follow now, or with a later batch of this epoch."""
        parts = self._devices.shared(batch)
        if not self._sums:
            return self._update(*parts)
        loss = self._add(*parts)
        self._n_waiting += 1
        if self._n_waiting == self._accumulate_steps or is_last_of_epoch:
            self._flush(tf.constant(self._n_waiting, tf.float32))
            self._n_waiting = 0
        return loss

    def _gradients(self, batch: Batch) -> tuple[tf.Tensor, list[tf.Tensor]]:
        # What is frozen is not watched, and leaves nothing in memory for a backward pass.
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self._tensors)
            loss = self._loss_of(*batch)
        return loss, tape.gradient(loss, self._tensors, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    def _update_at_once(self, *batch: tf.Tensor) -> tf.Tensor:
        loss, gradients = self._gradients(batch)
        self._apply(gradients)
        return loss

    def _add_to_sums(self, *batch: tf.Tensor) -> tf.Tensor:
        loss, gradients = self._gradients(batch)
        for total, gradient in zip(self._sums, gradients, strict=True):
            total.assign_add(gradient)
        return loss

    def _update_from_sums(self, n_batches: tf.Tensor) -> None:
        self._apply([total / n_batches for total in self._sums])
        for total in self._sums:
            total.assign(tf.zeros_like(total))

    def _apply(self, gradients: list[tf.Tensor]) -> None:
        before = [tf.identity(tensor) for tensor, _ in self._slowed]
        self._optimizer.apply(self._devices.mean(gradients), self._variables)
        # Whatever the optimizer's rule, its change is proportional to the rate; so is this.
        for (tensor, rate), old in zip(self._slowed, before, strict=True):
            tensor.assign(old + rate * (tensor - old))
        self._average.update(self._optimizer.iterations.value)

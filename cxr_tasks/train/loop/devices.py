"""The devices that one training steps on: one, or all of the machine, as ``train.devices`` says.

Several take each batch together, each an even part of it, with weights of its own that stay the same as the others'.
What a step does is what one device would do with the whole batch, up to the rounding of sums: the loss is that of the
whole batch (logits of all devices are gathered before it), gradients are averaged before they are clipped, and
normalisation goes by the statistics of the whole batch (``networks/synced_norm.py``). Batches, their augmentation and
their order are those of one device, so a run that was killed goes on with any number of them.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.train_specs import TrainSpec

#: Between the seeds of dropout on one device and on the next; odd, so that the seeds of 2**32 devices differ.
SEED_STEP = 0x9E3779B1


def training_devices(spec: TrainSpec) -> list[str]:
    """Names of the devices ``spec`` asks for: its first one, or all GPUs, or all that the CPU was divided into.

    Raises:
        ConfigurationError: A batch cannot be shared evenly among them.
    """
    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    names = [device.name for device in tf.config.list_logical_devices(kind)]
    names = names if spec.devices == "all" else names[:1]
    check_share(spec.batch_size, len(names), "train.batch_size")
    return names


def check_share(n_images: int, n_devices: int, what: str) -> None:
    """``ConfigurationError`` where batches of ``n_images`` cannot be shared evenly among ``n_devices``."""
    if n_images % n_devices:
        raise ConfigurationError(
            f"{what}: expected a multiple of the {n_devices} devices of this machine, found {n_images}; change "
            "train.batch_size, or train on one: train.devices: one"
        )


@functools.lru_cache
def _strategy(names: tuple[str, ...]) -> tf.distribute.Strategy:
    """One for a process: a second one numbers its messages from the start, and they are taken for the first one's."""
    return tf.distribute.MirroredStrategy(list(names))


class Devices:
    """How a step runs on the devices of ``names``. On one, everything here hands on what it is given."""

    def __init__(self, names: Sequence[str] = ("",)):
        self.n = len(names)
        self._strategy = _strategy(tuple(names)) if self.n > 1 else None

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Variables that are made in it are there on every device."""
        return contextlib.nullcontext() if self._strategy is None else self._strategy.scope()

    def compiled(self, step: Callable[..., tf.Tensor | None]) -> Callable[..., tf.Tensor | None]:
        """``step`` as a graph that runs on all devices; what it returns is the first one's, as all return the same."""
        strategy = self._strategy
        if strategy is None:
            return tf.function(step)
        on_all = tf.function(lambda *parts: strategy.run(step, args=parts))

        def run(*parts: Any) -> Any:
            return strategy.experimental_local_results(on_all(*parts))[0]

        return run

    def shared(self, batch: Sequence[Any]) -> Sequence[Any]:
        """A batch's tensors, of each an even part for every device."""
        strategy = self._strategy
        if strategy is None:
            return batch

        def parted(tensor: Any) -> Any:
            parts = tf.split(tensor, self.n)
            return strategy.experimental_distribute_values_from_function(
                lambda context: parts[context.replica_id_in_sync_group]
            )

        return tuple(parted(tensor) for tensor in batch)

    def gathered(self, part: tf.Tensor) -> tf.Tensor:
        """Of the whole batch what this device has of its part; to be called in a step. First axis: images.

        Gradients of what follows are added over the devices on their way back, so each device has them as often as
        there are devices; ``mean`` puts that right.
        """
        if self._strategy is None:
            return part
        numbers = tf.cast(part, tf.float32) if part.dtype == tf.bool else part  # truth values cannot be gathered
        return tf.distribute.get_replica_context().all_gather(numbers, axis=0)

    def mean(self, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
        """Gradients averaged over the devices; to be called in a step."""
        if self._strategy is None:
            return gradients
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, gradients)

    def part_seeds(self, network: keras.Model) -> None:
        """Give dropout a seed of its own on each device, from the seed of the first device, which is saved.

        The same seed everywhere would drop the same units for images at the same place of every part.
        """
        if self._strategy is None:
            return
        weights = {id(weight) for weight in network.weights}
        for seed in (variable for variable in network.variables if id(variable) not in weights):
            first, *others = self._strategy.experimental_local_results(seed.value)
            key, counter = first.numpy()
            for number, copy in enumerate(others, start=1):
                copy.assign(np.array([(int(key) + number * SEED_STEP) % 2**32, counter], np.uint32))

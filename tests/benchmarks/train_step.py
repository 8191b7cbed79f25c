"""Our training step against plain ``compile`` and ``fit`` of the same network in float32."""

from __future__ import annotations

import dataclasses
import itertools
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cxr_tasks.contracts.labels import LabelState
from cxr_tasks.contracts.recipes import Recipe, load_recipe
from cxr_tasks.contracts.train_specs import AugmentSpec, TrainSpec
from tests.benchmarks.data import RECIPE, records_below
from tests.benchmarks.measure import Row, Setting, compare, in_turns

if TYPE_CHECKING:
    from cxr_tasks.datasets.load import LoadedSplit

STEPS = 16
#: Scored after each of our epochs, outside the time that is measured.
N_VALIDATION = 32


def run(setting: Setting) -> list[Row]:
    import tensorflow as tf

    from cxr_tasks.datasets.load import LoadedSplit
    from cxr_tasks.installation.processor import cpu_flags
    from cxr_tasks.train.networks.precision import resolve_precision

    recipe = load_recipe(RECIPE)
    spec = recipe.train
    precision = resolve_precision(
        spec.precision, cpu_flags=cpu_flags(), n_gpus=len(tf.config.list_physical_devices("GPU"))
    )
    n_train = spec.batch_size * (2 if setting.is_quick else STEPS)
    pixels = decoded(setting, recipe, n_train + N_VALIDATION)
    train = LoadedSplit(pixels.images[N_VALIDATION:], pixels.labels[N_VALIDATION:])
    validation = LoadedSplit(pixels.images[:N_VALIDATION], pixels.labels[:N_VALIDATION])
    sides = {
        "plain": OurTraining(
            train, validation, dataclasses.replace(spec, augment=AugmentSpec()), precision, setting.scratch
        ),
        "augmented": OurTraining(train, validation, spec, precision, setting.scratch),
        "keras": KerasTraining(train, spec),
    }
    found = in_turns(sides, min(setting.repetitions, 4))
    step = f"{recipe.name}'s network at {recipe.pixels.size_px} px, {precision}, batches of {spec.batch_size}"
    of = {
        "plain": ("training step", f"our step: {step}"),
        "augmented": (
            "training step, augmented",
            f"the same with the recipe's augmentation, computed as it goes: {step}",
        ),
    }
    return [
        compare(
            name,
            ours=found[side],
            baseline=found["keras"],
            unit="img/s",
            ours_is=ours_is,
            baseline_is="Keras compile and fit of the same network, float32, same arrays in memory, not augmented",
        )
        for side, (name, ours_is) in of.items()
    ]


def decoded(setting: Setting, recipe: Recipe, n_images: int) -> LoadedSplit:
    """The first images of the data, classes in turn, as training sees them; gone through again where they are few."""
    import tensorflow as tf

    from cxr_tasks.datasets.load import LoadedSplit
    from cxr_tasks.images.batches import batch_standard_pixels

    records = records_below(setting.data_root)
    positive = [one for one in records if one.states["pneumonia"] is LabelState.POSITIVE]
    negative = [one for one in records if one.states["pneumonia"] is LabelState.NEGATIVE]
    turns = itertools.cycle(itertools.chain.from_iterable(zip(positive, negative, strict=False)))
    chosen = list(itertools.islice(turns, n_images))
    contents = [(setting.data_root / one.image_id).read_bytes() for one in chosen]
    labels = [[float(one.states["pneumonia"] is LabelState.POSITIVE)] for one in chosen]
    decode = tf.function(lambda strings: batch_standard_pixels(strings, recipe.pixels))
    return LoadedSplit(decode(tf.constant(contents)).numpy(), np.array(labels, np.float32))


class OurTraining:
    """Our training; called, it trains one more epoch and gives its images per second, validation apart."""

    def __init__(self, train: LoadedSplit, validation: LoadedSplit, spec: TrainSpec, precision: str, folder: Path):
        from cxr_tasks.train.loop.trainer import Trainer

        folder.mkdir(parents=True, exist_ok=True)
        self.trainer = Trainer(train, validation, dataclasses.replace(spec, stress_views=0), precision, folder=folder)
        self._progress = self.trainer.restore()

    def __call__(self) -> float:
        # A new iterator each time: batches fetched ahead while the other side ran would come for nothing.
        batches = iter(self.trainer.batches(self._progress))
        record = self.trainer.run_epoch(self._progress.epochs_run + 1, batches)
        self.trainer.judge(record, self._progress)
        return record["images_per_second"]


class KerasTraining:
    """Training as plain Keras code would do it; called, it trains one more epoch and gives its images per second."""

    def __init__(self, train: LoadedSplit, spec: TrainSpec):
        import keras

        from cxr_tasks.train.networks.networks import build_network
        from cxr_tasks.train.networks.precision import dtype_policy

        with dtype_policy("float32"):
            self.network = build_network(
                spec.network,
                size_px=train.images.shape[1],
                n_findings=train.labels.shape[1],
                options=spec.network_options,
                seed=spec.seed,
            )
        self.network.compile(
            optimizer=keras.optimizers.AdamW(spec.learning_rate, weight_decay=spec.weight_decay),
            loss=keras.losses.BinaryCrossentropy(from_logits=True),
        )
        self._images, self._labels = train.images.astype(np.float32) / 255.0, train.labels
        self._batch_size = spec.batch_size

    def __call__(self) -> float:
        started = time.perf_counter()
        self.network.fit(self._images, self._labels, batch_size=self._batch_size, epochs=1, verbose=0)
        return len(self._images) / (time.perf_counter() - started)

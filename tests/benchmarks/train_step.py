"""Our training step against plain ``compile`` and ``fit`` of the same network in float32."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cxr_tasks.contracts.labels import LabelState
from cxr_tasks.contracts.recipes import Recipe, load_recipe
from cxr_tasks.contracts.specs import AugmentSpec, TrainSpec
from tests.benchmarks.data import RECIPE, records_below
from tests.benchmarks.measure import Row, Setting, compare, in_turns

if TYPE_CHECKING:
    from cxr_tasks.train.inputs import LoadedSplit

STEPS = 16
#: Scored after each of our epochs, outside the time that is measured.
N_VALIDATION = 32


def run(setting: Setting) -> list[Row]:
    import tensorflow as tf

    from cxr_tasks.train.inputs import LoadedSplit
    from cxr_tasks.train.precision import cpu_flags, resolve_precision

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
        "plain": our_epochs(
            train, validation, dataclasses.replace(spec, augment=AugmentSpec()), precision, setting.scratch
        ),
        "augmented": our_epochs(train, validation, spec, precision, setting.scratch),
        "keras": keras_epochs(train, spec),
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

    from cxr_tasks.prepare.pixels import batch_standard_pixels
    from cxr_tasks.train.inputs import LoadedSplit

    records = records_below(setting.data_root)
    positive = [one for one in records if one.states["pneumonia"] is LabelState.POSITIVE]
    negative = [one for one in records if one.states["pneumonia"] is LabelState.NEGATIVE]
    turns = itertools.cycle(itertools.chain.from_iterable(zip(positive, negative, strict=False)))
    chosen = list(itertools.islice(turns, n_images))
    contents = [(setting.data_root / one.image_id).read_bytes() for one in chosen]
    labels = [[float(one.states["pneumonia"] is LabelState.POSITIVE)] for one in chosen]
    decode = tf.function(lambda strings: batch_standard_pixels(strings, recipe.pixels))
    return LoadedSplit(decode(tf.constant(contents)).numpy(), np.array(labels, np.float32))


def our_epochs(
    train: LoadedSplit, validation: LoadedSplit, spec: TrainSpec, precision: str, folder: Path
) -> Callable[[], float]:
    """A function that trains one more epoch with ``train.fit`` and gives its images per second, validation apart."""
    from cxr_tasks.train.trainer import Trainer

    trainer = Trainer(train, validation, dataclasses.replace(spec, stress_views=0), precision, folder=folder)
    progress = trainer.restore()

    def one_epoch() -> float:
        # A new iterator each time: batches fetched ahead while the other side ran would come for nothing.
        record = trainer.run_epoch(progress.epochs_run + 1, iter(trainer.batches(progress)))
        trainer.judge(record, progress)
        return record["images_per_second"]

    return one_epoch


def keras_epochs(train: LoadedSplit, spec: TrainSpec) -> Callable[[], float]:
    """A function that trains one more epoch as plain Keras code would, and gives its images per second."""
    import keras

    from cxr_tasks.train.networks import build_network
    from cxr_tasks.train.precision import dtype_policy

    with dtype_policy("float32"):
        network = build_network(
            spec.network,
            size_px=train.images.shape[1],
            n_findings=train.labels.shape[1],
            options=spec.network_options,
            seed=spec.seed,
        )
    network.compile(
        optimizer=keras.optimizers.AdamW(spec.learning_rate, weight_decay=spec.weight_decay),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
    )
    images = train.images.astype(np.float32) / 255.0

    def one_epoch() -> float:
        started = time.perf_counter()
        network.fit(images, train.labels, batch_size=spec.batch_size, epochs=1, verbose=0)
        return len(images) / (time.perf_counter() - started)

    return one_epoch

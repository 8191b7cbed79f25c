"""Speed at equal quality: DenseNet121 from scratch in our training and in plain Keras, both then tested.

The same X-rays, epochs, batches and rate of learning, augmented on neither side, so that both do the same work. Drawn
X-rays, since real ones are not everywhere, in the recipe's own splits. Ours adds what each of our trainings has: half
precision where the processor has it, a schedule, the average of the weights, the best epoch by validation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from cxr_tasks.contracts.labels import LabelState
from cxr_tasks.contracts.recipes import Recipe, load_recipe
from cxr_tasks.contracts.train_specs import TrainSpec
from cxr_tasks.statistics.intervals import Interval
from cxr_tasks.statistics.scores import auroc
from tests.benchmarks.measure import Row, Setting, compare, in_turns
from tests.benchmarks.train_step import KerasTraining, OurTraining
from tests.evaluate.formulas import auroc_difference

if TYPE_CHECKING:
    from cxr_tasks.datasets.load import LoadedSplit

RECIPE = "synthetic_binary"
SIZE_PX = 96
EPOCHS = 8
LEARNING_RATE = 1e-3
GOAL = 1.5
CONFIDENCE = 0.95
VALIDATION_SHARE = 0.15


def run(setting: Setting) -> list[Row]:
    import tensorflow as tf

    from cxr_tasks.installation.processor import cpu_flags
    from cxr_tasks.train.loop.validation import predict
    from cxr_tasks.train.networks.precision import resolve_precision

    recipe = _recipe(setting)
    n_epochs, spec = recipe.train.epochs, recipe.train
    n_gpus = len(tf.config.list_physical_devices("GPU"))
    precision = resolve_precision(spec.precision, cpu_flags=cpu_flags(), n_gpus=n_gpus)
    splits = _splits(recipe)
    ours = OurTraining(splits["train"], splits["validation"], spec, precision, setting.scratch / "ours")
    plain = KerasTraining(splits["train"], spec)
    found = in_turns({"ours": ours, "keras": plain}, n_epochs - 1)
    test = splits["test"]
    positive = test.labels[:, 0] == 1
    scores = [
        predict(tf.function(lambda images, of=network: of(images, training=False), reduce_retracing=True), test.images)
        for network in (ours.trainer.best_network(), plain.network)
    ]
    mine, theirs = (np.asarray(one, np.float64)[:, 0] for one in scores)
    difference = auroc_difference(positive, mine, theirs, CONFIDENCE)
    what = f"DenseNet121 from scratch, {SIZE_PX} px, {precision}, {len(splits['train'])} drawn images, not augmented"
    return [
        compare(
            "training to an equal AUROC",
            ours=found["ours"],
            baseline=found["keras"],
            unit="img/s",
            goal=GOAL,
            is_comparable=is_as_good(difference),
            ours_is=f"{_reached(positive, mine)} after {n_epochs} epochs: {what}; {_told(difference)}",
            baseline_is=f"{_reached(positive, theirs)} after as many epochs of Keras compile and fit, float32, same "
            "network, images and batches",
        )
    ]


def _recipe(setting: Setting) -> Recipe:
    recipe = load_recipe(RECIPE)
    options = {**recipe.dataset.options, "n_images": 300} if setting.is_quick else recipe.dataset.options
    n_epochs = 2 if setting.is_quick else EPOCHS
    train = TrainSpec(
        network="densenet121",
        epochs=n_epochs,
        early_stopping_patience=n_epochs,
        learning_rate=LEARNING_RATE,
        warmup_epochs=1,
        imbalance="none",
        ema_momentum=0.9,
        seed=recipe.train.seed,
    )
    return dataclasses.replace(
        recipe,
        dataset=dataclasses.replace(recipe.dataset, options=options),
        pixels=dataclasses.replace(recipe.pixels, size_px=SIZE_PX),
        train=train,
    )


def is_as_good(difference: Interval) -> bool:
    """Whether the model is not worse than the baseline: the interval of ours less theirs reaches 0 or lies above.

    >>> is_as_good(Interval(-0.01, -0.03, 0.01, "")), is_as_good(Interval(-0.04, -0.06, -0.02, ""))
    (True, False)
    """
    return difference.upper >= 0


def _reached(positive: np.ndarray, score: np.ndarray) -> str:
    return f"test AUROC {auroc(positive, score):.3f} (n {len(positive)})"


def _told(difference: Interval) -> str:
    interval = f"{difference.lower:+.3f} to {difference.upper:+.3f}, {difference.method}"
    return f"ours less theirs {difference.value:+.3f} ({interval})"


def _splits(recipe: Recipe) -> dict[str, LoadedSplit]:
    """The recipe's drawn X-rays as training sees them; validation is cut from the training patients."""
    from cxr_tasks.sources.base import get_source, resolve_root

    root = resolve_root(recipe.dataset, None)
    records = get_source(recipe.dataset.source).scan(root, recipe.dataset).records
    patients = sorted({one.patient_id for one in records if one.official_split != "test"})
    held_back = set(np.random.default_rng(0).permutation(patients)[: int(len(patients) * VALIDATION_SHARE)])
    belongs: dict[str, Callable] = {
        "train": lambda one: one.official_split != "test" and one.patient_id not in held_back,
        "validation": lambda one: one.official_split != "test" and one.patient_id in held_back,
        "test": lambda one: one.official_split == "test",
    }
    return {name: _loaded(root, [one for one in records if is_in(one)], recipe) for name, is_in in belongs.items()}


def _loaded(root, records, recipe: Recipe) -> LoadedSplit:
    import tensorflow as tf

    from cxr_tasks.datasets.load import LoadedSplit
    from cxr_tasks.images.batches import batch_standard_pixels

    decode = tf.function(lambda strings: batch_standard_pixels(strings, recipe.pixels))
    images = decode(tf.constant([(root / one.image_id).read_bytes() for one in records])).numpy()
    labels = [[float(one.states["pneumonia"] is LabelState.POSITIVE)] for one in records]
    return LoadedSplit(images, np.array(labels, np.float32))

"""DenseNet121 in training at 224 px: a frozen phase on cached features, the step, its input pipeline, its memory."""

from __future__ import annotations

import dataclasses
import itertools
import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cxr_tasks.contracts.recipes import load_recipe
from cxr_tasks.contracts.train_specs import PhaseSpec, TrainSpec
from tests.benchmarks.measure import Row, Setting, compare, in_turns
from tests.benchmarks.peak_memory import GIB, peak_of_training

if TYPE_CHECKING:
    from cxr_tasks.datasets.load import LoadedSplit
    from cxr_tasks.train.loop.trainer import Trainer

RECIPE = "nih_densenet121"
BATCH = 32
N_FINDINGS = 14
CACHED_GOAL, STEP_GOAL = 20.0, 1.5
#: By how much the losses of both ways may differ: they are of one another's epochs, rounded to bfloat16 on the way.
SAME_LOSS = 0.02
MOST_WAITING_PERCENT, MOST_MEMORY_GIB = 5.0, 6e9 / GIB
HEAD = PhaseSpec(name="head", epochs=10_000, learning_rate=1e-3, unfrozen_blocks=0, augment=False)


def run(setting: Setting) -> list[Row]:
    from cxr_tasks.installation.processor import cpu_flags
    from cxr_tasks.train.networks.precision import resolve_precision

    precision = resolve_precision("auto", cpu_flags=cpu_flags(), n_gpus=_n_gpus())
    size_px = 64 if setting.is_quick else 224
    what = f"DenseNet121 at {size_px} px, 14 findings, {precision}, batches of {BATCH}"
    # Memory first: its processes are its own, and this one is still small.
    rows = _memory(setting, size_px, precision, what)
    images = _images(setting, size_px)
    return [*rows, _cached_phase(setting, images, precision, what), *_steps(setting, images, precision, what)]


def _n_gpus() -> int:
    import tensorflow as tf

    return len(tf.config.list_physical_devices("GPU"))


def _spec() -> TrainSpec:
    """The recipe's, without phases, weights from elsewhere or a second answer, as they change no step."""
    recipe = load_recipe(RECIPE).train
    return dataclasses.replace(
        recipe, starting_weights="none", phases=(), epochs=10_000, test_time_flip=False, batch_size=BATCH
    )


def _images(setting: Setting, size_px: int) -> Callable[[int], LoadedSplit]:
    """A function that makes splits of noise with random labels: a step takes the same time whatever it sees."""
    from cxr_tasks.datasets.load import LoadedSplit

    rng = np.random.default_rng(0)

    def split(n: int) -> LoadedSplit:
        labels = (rng.random((n, N_FINDINGS)) < 0.3).astype(np.float32)
        labels[:2] = [[0.0], [1.0]]
        return LoadedSplit(rng.integers(0, 256, (n, size_px, size_px, 1), dtype=np.uint8), labels)

    return split


def _trainer(setting: Setting, split: Callable[[int], LoadedSplit], n: int, spec: TrainSpec, precision: str) -> Trainer:
    from cxr_tasks.train.loop.trainer import Trainer

    folder = setting.scratch / f"trainer-{time.monotonic_ns()}"
    folder.mkdir()
    trainer = Trainer(split(n), split(BATCH), spec, precision, folder=folder)
    trainer.restore()
    return trainer


class _Timed:
    """An iterator that knows how long it was waited for."""

    def __init__(self, batches: Iterator[Any]):
        self._batches, self.waited_s = batches, 0.0

    def __iter__(self) -> _Timed:
        return self

    def __next__(self) -> Any:
        started = time.perf_counter()
        batch = next(self._batches)
        self.waited_s += time.perf_counter() - started
        return batch


def _epochs(trainer: Trainer) -> Callable[[], tuple[dict[str, float], float]]:
    """A function that trains one more epoch; its record, and the share of its steps that waited for input, in %."""
    from cxr_tasks.train.loop.progress import Progress

    progress = Progress()

    def one_epoch() -> tuple[dict[str, float], float]:
        # A new iterator each time, as one that ran on while another side was measured would have batches to spare;
        # its first batch before the clock starts, as a phase of a real run starts only once.
        batches = iter(trainer.batches(progress))
        timed = _Timed(itertools.chain([next(batches)], batches))
        record = trainer.run_epoch(progress.epochs_run + 1, timed)
        trainer.judge(record, progress)
        train_s = trainer.plan.steps_per_epoch * BATCH / record["images_per_second"]
        return record, 100 * timed.waited_s / train_s

    return one_epoch


def _cached_phase(setting: Setting, split: Callable[[int], LoadedSplit], precision: str, what: str) -> Row:
    """An epoch of the frozen phase with validation, as its record gives it."""
    n = BATCH if setting.is_quick else 8 * BATCH
    sides, losses = {}, {}
    for name, cache in (("cached", "auto"), ("run", "never")):
        spec = dataclasses.replace(_spec(), phases=(dataclasses.replace(HEAD, cache_features=cache),))
        one_epoch = _epochs(_trainer(setting, split, n, spec, precision))
        losses[name] = []
        sides[name] = lambda one=one_epoch, noted=losses[name]: _noted(one()[0], noted)
    found = in_turns(sides, min(setting.repetitions, 3))
    is_same = np.allclose(losses["cached"], losses["run"], rtol=SAME_LOSS)
    return compare(
        "frozen phase, cached features",
        ours=found["cached"],
        baseline=found["run"],
        unit="s/epoch",
        goal=CACHED_GOAL,
        less_is_better=True,
        is_comparable=is_same,
        ours_is=f"an epoch of the head over features computed once, {n} images and {BATCH} of validation, loss at the "
        f"end {losses['cached'][-1]:.4f}, with the backbone {losses['run'][-1]:.4f}: {what}",
        baseline_is="the same epoch with the frozen backbone run on every image",
    )


def _noted(record: dict[str, float], losses: list[float]) -> float:
    losses.append(record["loss"])
    return record["seconds"]


def _steps(setting: Setting, split: Callable[[int], LoadedSplit], precision: str, what: str) -> list[Row]:
    from tests.benchmarks.train_step import KerasTraining

    n = BATCH * (1 if setting.is_quick else 6)
    trainer = _trainer(setting, split, n, _spec(), precision)
    one_epoch, waiting = _epochs(trainer), []

    def ours() -> float:
        record, percent = one_epoch()
        waiting.append(max(percent, 0.01))
        return record["images_per_second"]

    found = in_turns({"ours": ours, "keras": KerasTraining(split(n), _spec())}, min(setting.repetitions, 2))
    waiting = waiting[1:]
    return [
        compare(
            "training step, DenseNet121",
            ours=found["ours"],
            baseline=found["keras"],
            unit="img/s",
            goal=STEP_GOAL,
            ours_is=f"our step with the recipe's augmentation, computed as it goes: {what}",
            baseline_is="Keras compile and fit of the same network, float32, same arrays in memory, not augmented",
        ),
        compare(
            "input pipeline, waiting",
            ours=waiting,
            baseline=[MOST_WAITING_PERCENT] * len(waiting),
            unit="% of step",
            goal=1.0,
            less_is_better=True,
            ours_is=f"share of the training step in which it waits for augmented images: {what}",
            baseline_is="the most that is allowed",
        ),
    ]


def _memory(setting: Setting, size_px: int, precision: str, what: str) -> list[Row]:
    """Two sizes of dataset, then full precision, each in a process of its own."""
    sizes = (2 * BATCH, (2 if setting.is_quick else 100) * BATCH)
    few, many = (_peak(setting.scratch / f"memory-{i}", n, size_px, precision) for i, n in enumerate(sizes))
    full = _peak(setting.scratch / "memory-float32", sizes[0], size_px, "float32")
    task = "steps, validation and saved state"
    ours_is = f"a training process with {sizes[1]:,} images mapped from disk, {task}: {what}"
    full_is = f"the same with {sizes[0]} images in float32, as where no bf16 units are"
    allowed = "6 GB, the most that is allowed"
    return [
        compare(
            name,
            ours=[ours],
            baseline=[baseline],
            unit="GiB",
            goal=goal,
            less_is_better=True,
            ours_is=told,
            baseline_is=baseline_is,
        )
        for name, ours, told, baseline, goal, baseline_is in (
            ("peak memory of training", many, ours_is, MOST_MEMORY_GIB, 1.0, allowed),
            ("peak memory, float32", full, full_is, MOST_MEMORY_GIB, 1.0, allowed),
            ("peak memory, more images", many, ours_is, few, 0.95, f"the same with {sizes[0]} images"),
        )
    ]


def _peak(folder: Path, n_images: int, size_px: int, precision: str) -> float:
    folder.mkdir()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(peak_of_training, folder, _spec(), n_images, size_px, precision).result()

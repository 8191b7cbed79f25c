"""Starting weights from drawn X-rays, where no published ones are to be had: a training before the training.

Phantoms show the same 14 findings as NIH ChestX-ray14, drawn, in any number. What a network learns from them about
contours and densities is of use where real images are few. Done once for all trainings that ask for the same.
"""

from __future__ import annotations

import dataclasses
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cxr_tasks.contracts.artifacts import sha256_json
from cxr_tasks.contracts.label_policies import LabelSpec
from cxr_tasks.contracts.labels import LabelState, findings_of
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.contracts.shapes import build, plain
from cxr_tasks.contracts.specs import DatasetSpec, PixelSpec
from cxr_tasks.contracts.train_specs import LossSpec, TrainSpec
from cxr_tasks.installation.storage.changes import remove_file
from cxr_tasks.installation.storage.files import read_json, replaced_file, write_json
from cxr_tasks.installation.storage.locks import file_lock
from cxr_tasks.sources.base import ImageRecord, get_source, resolve_root
from cxr_tasks.sources.phantoms.layouts.options import SyntheticOptions
from cxr_tasks.train.weights.starting_weights import PHANTOM_FILE, weights_root

if TYPE_CHECKING:
    from cxr_tasks.datasets.load import LoadedSplit
    from cxr_tasks.train.loop.progress import Progress

log = logging.getLogger(__name__)

VOCABULARY = "nih14"
#: Of the drawn patients, by whose images the best epoch is chosen.
VALIDATION_SHARE = 0.1
#: Sides drawn; reduced from twice the network's, as real files are larger than what is trained on.
SMALLEST_DRAWN_PX, LARGEST_DRAWN_PX = 96, 1024
#: Others that ask for the same weights wait for the one that trains them, so long at most.
WAIT_S = 12 * 3600.0
READ_BATCH = 256
REACHED_FILE = "reached.json"


def fetch_phantom_weights(
    recipe: Recipe, precision: str, folder: Path, on_epoch: Callable[[Progress], None] = lambda progress: None
) -> dict[str, float]:
    """Put the weights into ``folder / PHANTOM_FILE``; what they reached: ``val_auroc``, ``epochs_run``, ``seconds``.

    Trained now where nobody has yet; a training that was killed goes on. They lie in ``var/weights/phantoms``, under a
    name that follows from everything they depend on.

    Args:
        on_epoch: Called after each epoch of a training that takes place now.

    Raises:
        ServiceUnavailable: Another process has been training them for longer than ``WAIT_S``.
    """
    spec, drawn = phantom_training(recipe.train), _dataset(recipe)
    stored = weights_root() / "phantoms" / _key(spec, drawn, recipe.pixels, precision)
    # Another training may be at it: then the lock below is waited for, and nothing else would be heard.
    log.info("starting weights from phantoms: taken from %s, where they are learnt first unless they are there", stored)
    with file_lock(
        stored / "lock",
        what=f"starting weights from phantoms in {stored}",
        purpose=f"training for recipe {recipe.name}",
        wait_s=WAIT_S,
    ):
        if not (stored / REACHED_FILE).exists():
            _train(spec, drawn, recipe.pixels, precision, stored, on_epoch)
        reached = read_json(stored / REACHED_FILE)
        with replaced_file(folder / PHANTOM_FILE) as aside:
            shutil.copyfile(stored / PHANTOM_FILE, aside)
    log.info("starting weights: mean AUROC %.3f on drawn X-rays held back, %s", reached["val_auroc"], stored)
    return reached


def phantom_training(spec: TrainSpec) -> TrainSpec:
    """The training on phantoms that ``spec`` asks for: its network, batches and augmentation, in one phase."""
    asked = spec.phantoms
    return dataclasses.replace(
        spec,
        starting_weights="none",
        phases=(),
        labels=LabelSpec(),
        loss=LossSpec(),
        sampling="shuffled",
        imbalance="none",
        accumulate_steps=1,
        test_time_flip=False,
        stress_views=0,
        epochs=asked.epochs,
        learning_rate=asked.learning_rate,
        warmup_epochs=0.5,
        early_stopping_patience=asked.epochs,
        max_minutes=None,
        seed=asked.seed,
    )


def _dataset(recipe: Recipe) -> DatasetSpec:
    size_px = min(max(2 * recipe.pixels.size_px, SMALLEST_DRAWN_PX), LARGEST_DRAWN_PX)
    asked = recipe.train.phantoms
    options = {"layout": "nih", "n_images": asked.n_images, "seed": asked.seed, "size_px": size_px}
    return DatasetSpec(name="phantoms", source="synthetic", vocabulary=VOCABULARY, options=options)


def _key(spec: TrainSpec, drawn: DatasetSpec, pixels: PixelSpec, precision: str) -> str:
    from cxr_tasks.sources.synthetic import fingerprint

    options = build(SyntheticOptions, drawn.options, "phantoms")
    parts = {"train": spec.to_dict(), "pixels": plain(pixels), "phantoms": fingerprint(options), "precision": precision}
    return sha256_json(parts)[:16]


def _train(
    spec: TrainSpec,
    drawn: DatasetSpec,
    pixels: PixelSpec,
    precision: str,
    folder: Path,
    on_epoch: Callable[[Progress], None],
) -> None:
    from cxr_tasks.train.loop.fit import fit
    from cxr_tasks.train.loop.resume import STATE_FILE
    from cxr_tasks.train.loop.watch import epoch_line

    def tell(progress: Progress) -> None:
        log.info("phantoms: %s", epoch_line(progress, spec.epochs))
        on_epoch(progress)

    log.info("no published weights: %d drawn X-rays are learnt from first", drawn.options["n_images"])
    splits = _splits(drawn, pixels)
    findings = findings_of(VOCABULARY)
    fitted = fit(
        splits["train"],
        splits["validation"],
        spec,
        precision=precision,
        folder=folder,
        on_epoch=tell,
        findings=findings,
    )
    with replaced_file(folder / PHANTOM_FILE) as aside:
        fitted.network.save(aside)
    best = fitted.progress.history[fitted.progress.best_epoch - 1]
    reached = {
        "val_auroc": best["val_auroc"],
        "epochs_run": fitted.progress.epochs_run,
        "seconds": fitted.progress.seconds,
    }
    write_json(folder / REACHED_FILE, reached)
    remove_file(folder / STATE_FILE)


def _splits(drawn: DatasetSpec, pixels: PixelSpec) -> dict[str, LoadedSplit]:
    scan = get_source(drawn.source).scan(resolve_root(drawn, None), drawn)
    patients = sorted({record.patient_id for record in scan.records})
    n_held_back = max(round(VALIDATION_SHARE * len(patients)), 1)
    held_back = set(np.random.default_rng(0).permutation(patients)[:n_held_back])
    parts: dict[str, list[ImageRecord]] = {"train": [], "validation": []}
    for record in scan.records:
        parts["validation" if record.patient_id in held_back else "train"].append(record)
    return {name: _loaded(scan.root, records, pixels) for name, records in parts.items()}


def _loaded(root: Path, records: list[ImageRecord], pixels: PixelSpec) -> LoadedSplit:
    from cxr_tasks.datasets.load import LoadedSplit

    findings = findings_of(VOCABULARY)
    is_positive = [[record.states[finding] is LabelState.POSITIVE for finding in findings] for record in records]
    images = np.concatenate(list(_images(root, records, pixels)))
    return LoadedSplit(images, np.array(is_positive, np.float32))


def _images(root: Path, records: list[ImageRecord], pixels: PixelSpec) -> Iterator[np.ndarray]:
    import tensorflow as tf

    from cxr_tasks.images.batches import batch_standard_pixels

    decode = tf.function(
        lambda contents: batch_standard_pixels(contents, pixels), input_signature=[tf.TensorSpec((None,), tf.string)]
    )
    for start in range(0, len(records), READ_BATCH):
        contents = [(root / record.image_id).read_bytes() for record in records[start : start + READ_BATCH]]
        yield decode(tf.constant(contents)).numpy()

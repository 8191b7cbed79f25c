"""Prepare a validated manifest: pixels decoded and resized once, stored as a TFDS dataset under their fingerprint."""

from __future__ import annotations

import csv
import datetime
import importlib.metadata
import logging
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_tasks.contracts.artifacts import (
    published_folder,
    replaced_file,
    sha256_file,
    write_json,
)
from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.handoffs import PreparedDataset, ValidatedStudies
from cxr_tasks.contracts.labels import SPLITS
from cxr_tasks.contracts.paths import RunPaths, datasets_root
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.contracts.shapes import plain
from cxr_tasks.prepare.latest import dataset_of
from cxr_tasks.tensorflow_start import start_tensorflow

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from cxr_tasks.prepare.decode import LeftOut
    from cxr_tasks.prepare.profile import PixelProfile

log = logging.getLogger(__name__)


def prepare_dataset(validated: ValidatedStudies, recipe: Recipe, paths: RunPaths) -> PreparedDataset:
    """The dataset of ``validated`` as ``datasets_root()/<dataset>/<fingerprint>/``, written unless it is there.

    The folder holds TFRecord shards that ``tfds.builder_from_directory`` opens, ``index.parquet``,
    ``statistics.json``, ``provenance.json`` and ``left_out.csv``, and appears whole or not at all. ``latest.json``
    beside it names the newest one. An image that TensorFlow cannot decode though ingest could is left out and listed.

    Raises:
        DataDefect: The manifest is not what it was, a file changed after ingest, a split is empty, or more images
            than ``dataset.quarantine_bound`` allows cannot be decoded.
    """
    import pandas as pd

    from cxr_tasks.prepare.examples import index_of
    from cxr_tasks.prepare.fingerprint import fingerprint_of
    from cxr_tasks.prepare.keys import patient_secret

    started = time.monotonic()
    manifest = pd.read_parquet(validated.manifest.verified_path())
    index = index_of(
        manifest, recipe.dataset.vocabulary, recipe.pixels, salt=recipe.split.salt, secret=patient_secret()
    )
    fingerprint = fingerprint_of(manifest, recipe)
    folder = datasets_root() / recipe.dataset.name / fingerprint[:16]
    if (folder / "provenance.json").exists():
        log.info("dataset %s is prepared already; nothing to do", folder)
    else:
        _require_every_split(index)
        log.info("preparing %d images at %d px into %s", len(index), recipe.pixels.size_px, folder)
        with published_folder(folder) as aside:
            left_out = _fill(aside, index, Path(validated.root), recipe)
            _write_provenance(aside, validated, recipe, fingerprint, left_out)
        seconds = time.monotonic() - started
        log.info("prepared %d images in %.1f s (%.0f img/s)", len(index), seconds, len(index) / seconds)
    prepared = dataset_of(recipe.dataset.name, fingerprint)
    write_json(folder.parent / "latest.json", prepared.to_payload())
    write_json(paths.stage("prepare") / "prepared.json", prepared.to_payload())
    return prepared


def _fill(folder: Path, index: pd.DataFrame, root: Path, recipe: Recipe) -> list[LeftOut]:
    """Write everything but the provenance; returns what could not be decoded."""
    start_tensorflow()
    import numpy as np

    from cxr_tasks.prepare.decode import decode_files
    from cxr_tasks.prepare.profile import PixelProfile, split_statistics
    from cxr_tasks.prepare.store import write_dataset

    # Decoded to a plain file first: shards are named by their number, and which images decode is only known then.
    spool = folder / "pixels.npy"
    size = recipe.pixels.size_px
    pixels = np.lib.format.open_memmap(spool, mode="w+", dtype=np.uint8, shape=(len(index), size, size, 1))
    left_out = decode_files(root, index, recipe.pixels, into=pixels)
    _check_bound(left_out, len(index), recipe.dataset.quarantine_bound)
    kept = index[~index["image_id"].isin([one.image_id for one in left_out])]
    _require_every_split(kept)
    splits = {split: kept[kept["split"] == split] for split in SPLITS}
    profiles = {split: PixelProfile() for split in SPLITS}
    images = {split: _seen(pixels, splits[split], profiles[split]) for split in SPLITS}
    write_dataset(
        folder, recipe.dataset.name, splits=splits, pixels=images, vocabulary=recipe.dataset.vocabulary, size_px=size
    )
    del pixels
    spool.unlink()
    with replaced_file(folder / "index.parquet") as aside:
        kept.reset_index(drop=True).to_parquet(aside, index=False)
    statistics = {
        split: split_statistics(splits[split], recipe.dataset.vocabulary, profiles[split]) for split in SPLITS
    }
    write_json(folder / "statistics.json", statistics)
    return left_out


def _seen(pixels: np.ndarray, rows: pd.DataFrame, profile: PixelProfile) -> Iterator[np.ndarray]:
    """The stored pixels of ``rows``, one by one, each counted in ``profile`` on its way."""
    for row in rows.index:
        yield profile.seen(pixels[row])


def _check_bound(left_out: list[LeftOut], n_images: int, bound: float) -> None:
    if not left_out:
        return
    first = left_out[0]
    if len(left_out) > bound * n_images:
        raise DataDefect(
            f"{len(left_out)} of {n_images} images cannot be decoded, more than the share of {bound:g} allowed by "
            f"dataset.quarantine_bound; the first is {first.image_id!r}: {first.reason}"
        )
    log.warning("%d of %d images cannot be decoded and are left out; see left_out.csv", len(left_out), n_images)


def _require_every_split(index: pd.DataFrame) -> None:
    empty = [split for split in SPLITS if not (index["split"] == split).any()]
    if empty:
        raise DataDefect(
            f"{len(index)} images: expected some in each split, found none in {', '.join(empty)}; "
            "check the recipe's split and the source's folders"
        )


def _write_provenance(
    folder: Path, validated: ValidatedStudies, recipe: Recipe, fingerprint: str, left_out: list[LeftOut]
) -> None:
    """What the dataset was made of, by what, and what is missing from it."""
    from cxr_tasks.prepare.fingerprint import PREPARE_VERSION

    with replaced_file(folder / "left_out.csv") as aside, open(aside, "w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["image_id", "reason"])
        rows.writerows((one.image_id, one.reason) for one in left_out)
    write_json(
        folder / "provenance.json",
        {
            "dataset": recipe.dataset.name,
            "fingerprint": fingerprint,
            "vocabulary": recipe.dataset.vocabulary,
            "pixels": plain(recipe.pixels),
            "root": validated.root,
            "manifest_sha256": validated.manifest.sha256,
            "validation_sha256": validated.validation.sha256,
            "index_sha256": sha256_file(folder / "index.parquet"),
            "recipe": recipe.name,
            "recipe_sha256": recipe.sha256,
            "n_left_out": len(left_out),
            "made_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "versions": {
                "prepare": PREPARE_VERSION,
                "python": platform.python_version(),
                **{name: importlib.metadata.version(name) for name in ("tensorflow", "tensorflow-datasets", "numpy")},
            },
        },
    )

"""Prepare a validated manifest: pixels decoded and resized once, stored as a TFDS dataset under their fingerprint."""

from __future__ import annotations

import contextlib
import logging
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_tasks.contracts.dataset_files import SplitFacts
from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.handoffs.dataset import PreparedDataset, ValidatedStudies
from cxr_tasks.contracts.labels import SPLITS
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.datasets.catalogue import lock_path
from cxr_tasks.datasets.latest import dataset_of
from cxr_tasks.installation.storage.changes import remove_tree
from cxr_tasks.installation.storage.files import published_folder, replaced_file, verified_path, write_json
from cxr_tasks.installation.storage.locks import file_lock
from cxr_tasks.installation.storage.paths import RunPaths, datasets_root
from cxr_tasks.installation.storage.space import MIB, require_space, room_for
from cxr_tasks.installation.tensorflow_start import start_tensorflow

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from cxr_tasks.images.decode import LeftOut

log = logging.getLogger(__name__)

REFERENCE_PROFILE = "reference_profile.json"


@room_for("preparing the dataset", 8 * MIB)
def prepare_dataset(validated: ValidatedStudies, recipe: Recipe, paths: RunPaths) -> PreparedDataset:
    """The dataset of ``validated`` as ``datasets_root()/<dataset>/<fingerprint>/``, written unless it is there.

    The folder holds TFRecord shards that ``tfds.builder_from_directory`` opens, ``index.parquet``,
    ``content.parquet``, ``image_statistics.parquet``, ``statistics.json``, ``reference_profile.json``,
    ``provenance.json``, ``left_out.csv`` and
    ``overview.html``, and appears whole or not at all. An image that TensorFlow cannot decode though ingest could is
    left out and listed.
    The newest dataset of the name stays what it was; ``datasets.latest.publish_latest`` changes that.

    Raises:
        DataDefect: The manifest is not what it was, a file changed after ingest, a split is empty, or more images
            than ``dataset.quarantine_bound`` allows cannot be decoded.
    """
    import pandas as pd

    from cxr_tasks.datasets.content import hashes_of
    from cxr_tasks.datasets.image_statistics import statistics_of
    from cxr_tasks.datasets.split_facts import changes_since, split_facts
    from cxr_tasks.installation.patient_keys import patient_secret
    from cxr_tasks.prepare.fingerprint import fingerprint_of
    from cxr_tasks.prepare.index_rows import index_of

    manifest = pd.read_parquet(verified_path(validated.manifest))
    index = index_of(
        manifest, recipe.dataset.vocabulary, recipe.pixels, salt=recipe.split.salt, secret=patient_secret()
    )
    fingerprint = fingerprint_of(manifest, recipe)
    folder = datasets_root() / recipe.dataset.name / fingerprint[:16]
    facts, splits = hashes_of(manifest).merge(statistics_of(manifest), on="image_id"), split_facts(manifest)
    del manifest
    with _only_one_at_work(folder):
        if (folder / "provenance.json").exists():
            log.info("dataset %s is prepared already; nothing to do", folder)
        else:
            splits["changed_since"] = changes_since(index, recipe.dataset.name, fingerprint)
            _make(folder, index, facts, validated, recipe, fingerprint, splits)
    prepared = dataset_of(recipe.dataset.name, fingerprint)
    write_json(paths.stage("prepare") / "prepared.json", prepared.to_payload())
    return prepared


@contextlib.contextmanager
def _only_one_at_work(folder: Path) -> Iterator[None]:
    """Wait until no other process prepares ``folder``, and remove what a killed one left beside it.

    The system drops the lock of a process that ends in whatever way, so what is left over is nobody's.
    """

    def say() -> None:
        log.info("another process prepares %s; waiting for it", folder)

    with file_lock(lock_path(folder), what=str(folder), purpose="preparing it", on_wait=say):
        for left_over in folder.parent.glob(f".{folder.name}.*"):
            log.warning("removing %s, which a prepare that was killed left behind", left_over)
            remove_tree(left_over)
        yield


def _make(
    folder: Path,
    index: pd.DataFrame,
    facts: pd.DataFrame,
    validated: ValidatedStudies,
    recipe: Recipe,
    fingerprint: str,
    splits: SplitFacts,
) -> None:
    from cxr_tasks.prepare.overview import render_overview
    from cxr_tasks.prepare.provenance import write_provenance

    started = time.monotonic()
    _require_every_split(index)
    size = recipe.pixels.size_px
    # One byte a pixel, uncompressed, and the rest of an example; then the small tables and pages.
    require_space(
        folder, len(index) * (size * size + 1024) + 8 * MIB, f"the dataset of {len(index)} images at {size} px"
    )
    log.info("preparing %d images at %d px into %s", len(index), recipe.pixels.size_px, folder)
    with published_folder(folder) as aside:
        left_out = _fill(aside, index, facts, Path(validated.root), recipe)
        shutil.copyfile(verified_path(validated.profile), aside / REFERENCE_PROFILE)
        write_provenance(aside, validated, recipe, fingerprint, left_out, splits)
        render_overview(aside)
    seconds = time.monotonic() - started
    log.info("prepared %d images in %.1f s (%.0f img/s)", len(index), seconds, len(index) / seconds)


def _fill(folder: Path, index: pd.DataFrame, facts: pd.DataFrame, root: Path, recipe: Recipe) -> list[LeftOut]:
    """Write shards, index and statistics; returns what could not be decoded."""
    start_tensorflow()
    from cxr_tasks.datasets.content import write_content
    from cxr_tasks.datasets.image_statistics import STATISTICS, write_statistics
    from cxr_tasks.images.decode import decoded_files, told
    from cxr_tasks.prepare.shards import write_dataset
    from cxr_tasks.prepare.split_statistics import PixelProfile, split_statistics

    left_out: list[LeftOut] = []
    splits = {split: index[index["split"] == split] for split in SPLITS}
    profiles = {split: PixelProfile() for split in SPLITS}
    progress, bound = told(len(index)), recipe.dataset.quarantine_bound

    def images_of(split: str) -> Iterator[tuple[int, np.ndarray]]:
        for place, pixels in decoded_files(root, splits[split], recipe.pixels, left_out=left_out, progress=progress):
            _require_most(left_out, len(index), bound)
            yield place, profiles[split].seen(pixels)

    write_dataset(
        folder,
        recipe.dataset.name,
        splits=splits,
        pixels={split: images_of(split) for split in SPLITS},
        vocabulary=recipe.dataset.vocabulary,
        size_px=recipe.pixels.size_px,
    )
    _require_most(left_out, len(index), bound)
    if left_out:
        log.warning("%d of %d images cannot be decoded and are left out; see left_out.csv", len(left_out), len(index))
    kept = index[~index["image_id"].isin([image.image_id for image in left_out])]
    _require_every_split(kept)
    with replaced_file(folder / "index.parquet") as aside:
        kept.reset_index(drop=True).to_parquet(aside, index=False)
    write_content(folder, kept, facts, recipe.split.salt)
    write_statistics(folder, kept, facts[["image_id", *STATISTICS]])
    statistics = {
        split: split_statistics(kept[kept["split"] == split], recipe.dataset.vocabulary, profiles[split])
        for split in SPLITS
    }
    write_json(folder / "statistics.json", statistics)
    return left_out


def _require_most(left_out: list[LeftOut], n_images: int, bound: float) -> None:
    if len(left_out) > bound * n_images:
        first = left_out[0]
        raise DataDefect(
            f"{len(left_out)} of {n_images} images cannot be decoded, more than the share of {bound:g} allowed by "
            f"dataset.quarantine_bound; the first is {first.image_id!r}: {first.reason}"
        )


def _require_every_split(index: pd.DataFrame) -> None:
    empty = [split for split in SPLITS if not (index["split"] == split).any()]
    if empty:
        raise DataDefect(
            f"{len(index)} images: expected some in each split, found none in {', '.join(empty)}; "
            "check the recipe's split and the source's folders"
        )

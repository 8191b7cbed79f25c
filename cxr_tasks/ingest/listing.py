"""List the images of a source, none of them opened, in parts that can be inspected apart from each other."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from cxr_tasks.contracts.artifacts import ArtifactRef
from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.handoffs.dataset import IngestPlan
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.ingest.manifest import REFUSAL_SCHEMA, listed_row, listing_schema
from cxr_tasks.ingest.rows import write_rows
from cxr_tasks.installation.storage.files import reference_to
from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.installation.storage.space import MIB, room_for
from cxr_tasks.sources.base import ImageRecord, by_image_id, get_source, resolve_root

logger = logging.getLogger(__name__)


@room_for("listing the images", 2 * MIB)
def list_images(recipe: Recipe, data_folder: str | None, paths: RunPaths) -> IngestPlan:
    """What the recipe's source says of every image, sorted by ``image_id``, in files of equally many rows.

    As few files as hold it with ``dataset.part_size`` rows at most in each.

    Raises:
        DataDefect: The folder is not there or has another layout, or the source lists an image twice.
        ConfigurationError: No folder is known, the recipe's dataset settings do not suit its source, or neither data
            nor recipe give anything to the test split.
    """
    spec = recipe.dataset
    root = resolve_root(spec, data_folder)
    scan = get_source(spec.source).scan(root, spec)
    for note in scan.notes:
        logger.info("%s: %s", spec.source, note)
    _check_test_split(recipe, scan.records, scan.root)
    folder = paths.stage("ingest") / "listing"
    n_images = len(scan.records)
    records = _each_once(sorted(scan.records, key=by_image_id))
    schema = listing_schema(recipe.findings)
    parts: list[ArtifactRef] = []
    n_parts = -(-n_images // spec.part_size)
    for number in range(n_parts):
        path = folder / f"part-{number:04d}.parquet"
        part = itertools.islice(records, n_images * (number + 1) // n_parts - n_images * number // n_parts)
        write_rows(path, schema, (listed_row(record, recipe.findings) for record in part))
        parts.append(reference_to(path))
    refusals = folder / "refusals.parquet"
    write_rows(refusals, REFUSAL_SCHEMA, (asdict(refusal) for refusal in scan.refusals))
    logger.info(
        "%s: %d images in %s, in %d parts; %d files refused by the source",
        spec.source,
        n_images,
        scan.root,
        len(parts),
        len(scan.refusals),
    )
    return IngestPlan(
        dataset=spec.name,
        root=str(scan.root),
        parts=tuple(parts),
        refusals=reference_to(refusals),
        n_images=n_images,
        n_refused=len(scan.refusals),
    )


def _check_test_split(recipe: Recipe, records: Iterable[ImageRecord], root: Path) -> None:
    """Said before hours of ingest: without an official test split the recipe's share makes one, if it gives any."""
    splits = {record.official_split for record in records} if not recipe.split.test else {"test"}
    if not splits or "test" in splits:
        return
    official = ", ".join(sorted(splits - {""})) or "none"
    raise ConfigurationError(
        f"recipe {recipe.name}: expected images in an official test split, or a share of the patients for it; source "
        f"{recipe.dataset.source!r} finds of official splits {official} in {root}, and split.test is 0. "
        "Set split.test in the recipe (0.2, say), or bring the folder or list of the test split"
    )


def _each_once(records: Iterable[ImageRecord]) -> Iterator[ImageRecord]:
    """The sorted ``records``; a ``DataDefect`` where two of them are of one image."""
    last = None
    for record in records:
        if record.image_id == last:
            raise DataDefect(f"{last}: expected each image once, but the source lists it twice")
        last = record.image_id
        yield record

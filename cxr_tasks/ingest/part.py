"""Inspect one part of a listing: open what is new or changed, in all cores; take the rest from the ledger."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from cxr_tasks.contracts.artifacts import ArtifactRef
from cxr_tasks.contracts.handoffs import IngestPlan, InspectedPart
from cxr_tasks.contracts.paths import RunPaths
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.ingest.inspected import inspected_table
from cxr_tasks.ingest.known import VERSION, entries_of, keyed_version
from cxr_tasks.ingest.ledger import Ledger, open_ledger
from cxr_tasks.ingest.manifest import REFUSAL_SCHEMA, inspected_schema
from cxr_tasks.ingest.opening import state_of
from cxr_tasks.ingest.rows import n_rows, read_batches, row_writer, table_writer
from cxr_tasks.sources._pool import map_chunks_in_processes
from cxr_tasks.sources._progress import with_progress

logger = logging.getLogger(__name__)

#: Images a worker process opens at a time; their statistics are taken together, so more is faster, up to about here.
CHUNK_SIZE = 64

_Work = tuple[str, str, str]


def inspect_part(recipe: Recipe, plan: IngestPlan, part: int, paths: RunPaths) -> InspectedPart:
    """Every image of ``plan.parts[part]``: the usable ones with what their files hold, the others with the reason.

    What is found goes to the ledger at once, so a run that was killed goes on where it stopped, and files that have
    not changed since the last ingest are not opened again. The data folder is only read.

    Raises:
        DataDefect: The listing is not what it was.
        ServiceUnavailable: The ledger cannot be used.
    """
    listing = plan.parts[part].verified_path()
    folder = paths.stage("ingest") / "inspected"
    images, refused = folder / f"part-{part:04d}.parquet", folder / f"refusals-{part:04d}.parquet"
    with open_ledger(Path(plan.root)) as ledger:
        n_reused = _open_new(ledger, plan, part, listing)
        n_usable, n_refused = _write_found(ledger, listing, recipe, images, refused)
    return InspectedPart(
        part=part,
        images=ArtifactRef.of(images),
        refusals=ArtifactRef.of(refused),
        n_usable=n_usable,
        n_refused=n_refused,
        n_reused=n_reused,
    )


def _open_new(ledger: Ledger, plan: IngestPlan, part: int, listing: Path) -> int:
    """Open every file of ``listing`` that the ledger does not know as it is; how many it knows."""
    to_open = _ToOpen(ledger, plan.root, listing)
    what = f"images opened, part {part + 1} of {len(plan.parts)}" if len(plan.parts) > 1 else "images opened"
    chunks = map_chunks_in_processes(entries_of, to_open, chunk_size=CHUNK_SIZE)
    for entries in with_progress(chunks, n_items=to_open.n_left, size=len, what=what, logger=logger):
        ledger.add(*(one for one in entries if one.found))
        ledger.set_state(*(one for one in entries if not one.found))
    ledger.flush()
    if to_open.n_known:
        logger.info("%d of %d images are as they were and not opened again", to_open.n_known, to_open.n_listed)
    return to_open.n_known


class _ToOpen:
    """The files of a listing that are to be opened; counts the others."""

    def __init__(self, ledger: Ledger, root: str, listing: Path):
        self._ledger, self._root, self._listing = ledger, root, listing
        self.n_listed = n_rows(listing)
        self.n_known = 0

    def n_left(self) -> int:
        """How many are to be opened, as far as is known by now."""
        return self.n_listed - self.n_known

    def __iter__(self) -> Iterator[_Work]:
        keyed = keyed_version()
        for batch in read_batches(self._listing, ["image_id"]):
            image_ids = batch.column(0).to_pylist()
            known = self._ledger.entries(image_ids)
            for image_id in image_ids:
                entry = known.get(image_id)
                if entry is None or entry.version not in (VERSION, keyed):
                    yield self._root, image_id, ""
                elif entry.is_of(state_of(self._root, image_id)):
                    self.n_known += 1
                else:
                    yield self._root, image_id, entry.file_sha256 if entry.is_lasting else ""


def _write_found(ledger: Ledger, listing: Path, recipe: Recipe, images: Path, refused: Path) -> tuple[int, int]:
    """Write what the ledger knows of the images of ``listing``; how many are usable and how many are not."""
    schema = inspected_schema(recipe.findings)
    n_usable = 0
    with table_writer(images, schema) as write, row_writer(refused, REFUSAL_SCHEMA) as refusals:
        for batch in read_batches(listing):
            image_ids = batch.column("image_id").to_pylist()
            known = ledger.entries(image_ids)
            entries = [known[one] for one in image_ids]
            table, unusable = inspected_table(batch, entries, schema, source=recipe.dataset.source)
            if len(table):
                write(table)
                n_usable += len(table)
            for refusal in unusable:
                refusals.add(asdict(refusal))
    return n_usable, refusals.n_rows

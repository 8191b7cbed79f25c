"""Inspect one part of a listing: open what is new or changed, in all cores; take the rest from the ledger."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa

from cxr_tasks.contracts.handoffs.dataset import IngestPlan, InspectedPart
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.contracts.specs import DatasetSpec
from cxr_tasks.ingest.inspected import inspected_table
from cxr_tasks.ingest.inspection.opening import state_of
from cxr_tasks.ingest.ledger import Entry, Ledger, open_ledger
from cxr_tasks.ingest.ledger_rows import VERSION, entries_of, keyed_version
from cxr_tasks.ingest.manifest import REFUSAL_SCHEMA, inspected_schema
from cxr_tasks.ingest.rows import RowWriter, n_rows, read_batches, row_writer, table_writer
from cxr_tasks.installation.processes import map_chunks_in_processes
from cxr_tasks.installation.progress_lines import with_progress
from cxr_tasks.installation.storage.files import reference_to, verified_path
from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.installation.storage.space import MIB, room_for

logger = logging.getLogger(__name__)

_Work = tuple[str, str, str]


@room_for("inspecting the images", 2 * MIB)
def inspect_part(recipe: Recipe, plan: IngestPlan, part: int, paths: RunPaths) -> InspectedPart:
    """Every image of ``plan.parts[part]``: the usable ones with what their files hold, the others with the reason.

    What is found goes to the ledger at once, so a run that was killed goes on where it stopped, and files that have
    not changed since the last ingest are not opened again. The data folder is only read.

    Raises:
        DataDefect: The listing is not what it was.
        ServiceUnavailable: The ledger cannot be used.
    """
    listing = verified_path(plan.parts[part])
    folder = paths.stage("ingest") / "inspected"
    images, refused = folder / f"part-{part:04d}.parquet", folder / f"refusals-{part:04d}.parquet"
    schema = inspected_schema(recipe.findings)
    with (
        open_ledger(Path(plan.root)) as ledger,
        table_writer(images, schema) as write,
        row_writer(refused, REFUSAL_SCHEMA) as refusals,
    ):
        table = _Table(schema, recipe.dataset, write, refusals)
        n_reused = _inspect(ledger, plan, part, listing, table)
    return InspectedPart(
        part=part,
        images=reference_to(images),
        refusals=reference_to(refused),
        n_usable=table.n_usable,
        n_refused=refusals.n_rows,
        n_reused=n_reused,
    )


def _inspect(ledger: Ledger, plan: IngestPlan, part: int, listing: Path, table: _Table) -> int:
    """Open every file of ``listing`` that the ledger does not know as it is, fill ``table``; how many it knows."""
    listed = _Listed(ledger, plan.root, listing, table)
    what = f"images opened, part {part + 1} of {len(plan.parts)}" if len(plan.parts) > 1 else "images opened"
    chunks = map_chunks_in_processes(entries_of, listed.to_open(), n_items=listed.n_to_open)
    for entries in with_progress(chunks, n_items=listed.n_to_open, size=len, what=what, logger=logger):
        listed.take(entries)
    if listed.n_known:
        logger.info("%d of %d images are as they were and not opened again", listed.n_known, listed.n_listed)
    return listed.n_known


class _Table:
    """Writes images and refusals, a batch of the listing at a time."""

    def __init__(self, schema: pa.Schema, spec: DatasetSpec, write: Callable[[pa.Table], None], refusals: RowWriter):
        self._schema, self._source, self._write, self._refusals = schema, spec.source, write, refusals
        # As each source says that has the option; a layout of phantoms hands it on to the source that reads it.
        options = {**spec.options.get("layout_options", {}), **spec.options}
        self._frontal_only = options.get("frontal_only", True) is not False
        self.n_usable = 0

    def add(self, batch: pa.RecordBatch, entries: list[Entry]) -> None:
        """Write ``batch`` with what ``entries`` say of each of its images."""
        images, unusable = inspected_table(
            batch, entries, self._schema, source=self._source, frontal_only=self._frontal_only
        )
        if len(images):
            self._write(images)
            self.n_usable += len(images)
        for refusal in unusable:
            self._refusals.add(asdict(refusal))


@dataclass(slots=True)
class _Batch:
    """Rows of a listing, what is known of their images, and how many of these are still to be opened."""

    rows: pa.RecordBatch
    image_ids: list[str]
    entries: dict[str, Entry]
    n_awaited: int


class _Listed:
    """A listing on its way into the ledger and the table. Files are opened, and come back, in its order."""

    def __init__(self, ledger: Ledger, root: str, listing: Path, table: _Table):
        self._ledger, self._root, self._listing, self._table = ledger, root, listing, table
        self._under_way: deque[_Batch] = deque()
        self.n_listed = n_rows(listing)
        self.n_known = 0

    def n_to_open(self) -> int:
        """How many are to be opened in all, as far as is known by now."""
        return self.n_listed - self.n_known

    def to_open(self) -> Iterator[_Work]:
        """The files that are to be opened; ``take`` is to be given what comes of each."""
        keyed = keyed_version()
        for rows in read_batches(self._listing):
            image_ids = rows.column("image_id").to_pylist()
            known = self._ledger.entries(image_ids)
            asked = [work for image_id in image_ids if (work := self._work(image_id, known.get(image_id), keyed))]
            self.n_known += len(rows) - len(asked)
            self._under_way.append(_Batch(rows, image_ids, known, len(asked)))
            self._write_complete()
            yield from asked

    def take(self, opened: Sequence[Entry]) -> None:
        """Note what came of files, and write the batches of which nothing is awaited any more."""
        self._ledger.add(*(entry for entry in opened if entry.found))
        self._ledger.set_state(*(entry for entry in opened if not entry.found))
        for entry in opened:
            batch = self._under_way[0]
            if entry.found:
                batch.entries[entry.image_id] = entry
            batch.n_awaited -= 1
            if not batch.n_awaited:
                self._write_complete()

    def _work(self, image_id: str, entry: Entry | None, keyed: str) -> _Work | None:
        """What to open of an image, with the sha256 that may spare it to be decoded; None where it is as it was."""
        if entry is None or entry.version not in (VERSION, keyed):
            return self._root, image_id, ""
        if entry.is_of(state_of(self._root, image_id)):
            return None
        return self._root, image_id, entry.file_sha256 if entry.is_lasting else ""

    def _write_complete(self) -> None:
        while self._under_way and not self._under_way[0].n_awaited:
            batch = self._under_way.popleft()
            self._table.add(batch.rows, [batch.entries[image_id] for image_id in batch.image_ids])

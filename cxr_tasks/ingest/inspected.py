"""Listed images with what their files hold, in columns: row by row this would take a sixth of the decoding."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cxr_tasks.ingest.inspection.inspect import HeaderFacts
from cxr_tasks.ingest.ledger import Entry
from cxr_tasks.ingest.ledger_rows import read_found
from cxr_tasks.ingest.manifest import boxes_text
from cxr_tasks.sources.base import Box, Refusal, lateral_refusal

NO_BOXES = "[]"
#: What the header of a DICOM file may say in the place of the source.
_FROM_HEADER = ("patient_id", "study_id", "view", "sex", "age_years")


def inspected_table(
    listed: pa.RecordBatch, entries: Sequence[Entry], schema: pa.Schema, *, source: str, frontal_only: bool = True
) -> tuple[pa.Table, list[Refusal]]:
    """The usable images of ``listed`` as rows of ``schema``, and the others with the reason; both in its order.

    Where the source leaves patient, study, view, sex or age open, the header of a DICOM file says them. An image of
    which neither tells the patient is refused; so is one from the side, unless ``frontal_only`` is false.

    Args:
        listed: Rows of a listing (``manifest.listing_schema``), sorted by ``image_id``.
        entries: What the ledger holds of each of them, in the same order.
        schema: ``manifest.inspected_schema``.
    """
    results = read_found(entries)
    images = pa.Table.from_batches([listed])
    if results.refusals:
        images = images.take(pa.array(results.places, pa.int64()))
    columns = dict(zip(images.column_names, images.columns, strict=True))
    columns |= {name: pa.array(values, schema.field(name).type) for name, values in results.held.items()}
    columns["source"] = pa.repeat(source, len(images))
    if results.headers:
        columns |= _with_headers(images, results.headers, schema)
    images = pa.table(columns)
    is_known = pc.not_equal(images["patient_id"], "")
    refusals = results.refusals
    if not pc.all(is_known).as_py():
        of_nobody = images.filter(pc.invert(is_known)).select(["image_id", "file_format"]).to_pylist()
        refusals = sorted([*refusals, *map(_unknown_patient, of_nobody)], key=attrgetter("image_id"))
        images = images.filter(is_known)
    is_lateral = pc.equal(images["view"], "lateral")
    if frontal_only and pc.any(is_lateral).as_py():
        from_the_side = images.filter(is_lateral)["image_id"].to_pylist()
        refusals = sorted([*refusals, *map(lateral_refusal, from_the_side)], key=attrgetter("image_id"))
        images = images.filter(pc.invert(is_lateral))
    studies = pc.if_else(pc.equal(images["study_id"], ""), images["image_id"], images["study_id"])
    images = _replaced(images, "study_id", studies)
    return _with_scaled_boxes(images).select(schema.names).cast(schema), refusals


def _replaced(images: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    return images.set_column(images.column_names.index(name), name, values)


def _with_headers(images: pa.Table, headers: Mapping[int, HeaderFacts], schema: pa.Schema) -> dict[str, pa.Array]:
    """The columns ``_FROM_HEADER``, each filled by the header where the source leaves it open."""
    patients, studies, views, sexes, ages = (images[name].to_pylist() for name in _FROM_HEADER)
    for row, header in headers.items():
        patients[row] = patients[row] or header.patient_id
        studies[row] = studies[row] or header.study_id
        views[row] = header.view if views[row] == "unknown" else views[row]
        sexes[row] = header.sex if sexes[row] == "unknown" else sexes[row]
        ages[row] = header.age_years if ages[row] != ages[row] else ages[row]
    filled = zip(_FROM_HEADER, (patients, studies, views, sexes, ages), strict=True)
    return {name: pa.array(values, schema.field(name).type) for name, values in filled}


def _unknown_patient(image: Mapping[str, str]) -> Refusal:
    return Refusal(
        image_id=image["image_id"],
        reason="unknown_patient",
        detail=f"expected a patient id from the source or a DICOM header, found none ({image['file_format']} file)",
        action="name the patient in the source's table, or fetch the DICOM file with its header",
    )


def _with_scaled_boxes(images: pa.Table) -> pa.Table:
    """Boxes in pixels of the file, where they refer to a picture of another size; few images have any."""
    if not pc.any(pc.not_equal(images["boxes"], NO_BOXES)).as_py():
        return images
    rows = images.select(["boxes", "box_frame_width", "box_frame_height", "width_px", "height_px"]).to_pylist()
    return _replaced(images, "boxes", pa.array([_scaled(row) for row in rows], pa.string()))


def _scaled(row: Mapping[str, Any]) -> str:
    frame = (row["box_frame_width"], row["box_frame_height"])
    if row["boxes"] == NO_BOXES or frame in {(0, 0), (row["width_px"], row["height_px"])}:
        return row["boxes"]
    along_x, along_y = row["width_px"] / frame[0], row["height_px"] / frame[1]
    boxes = [Box(**box) for box in json.loads(row["boxes"])]
    return boxes_text(
        [
            {
                "finding": box.finding,
                "x": box.x * along_x,
                "y": box.y * along_y,
                "width": box.width * along_x,
                "height": box.height * along_y,
            }
            for box in boxes
        ]
    )

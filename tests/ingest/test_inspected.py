from __future__ import annotations

import json

import pyarrow as pa
import pytest

from cxr_tasks.contracts.labels import LabelState
from cxr_tasks.ingest.inspected import inspected_table
from cxr_tasks.ingest.inspection.inspect import HeaderFacts, Inspection, Opened
from cxr_tasks.ingest.inspection.opening import FileState
from cxr_tasks.ingest.ledger_rows import entry_of
from cxr_tasks.ingest.manifest import inspected_schema, listed_row, listing_schema
from cxr_tasks.sources.base import Box, ImageRecord, Refusal

FINDINGS = ("pneumonia",)
SCHEMA = inspected_schema(FINDINGS)
IMAGE_ID = "train/NORMAL/IM-0001-0001.jpeg"
HEADER = HeaderFacts(patient_id="h1", study_id="h2", view="pa", sex="female", age_years=41.0)


def make_record(**overrides):
    record = {
        "image_id": IMAGE_ID,
        "patient_id": "IM1",
        "study_id": "s1",
        "states": {"pneumonia": LabelState.NEGATIVE},
        "official_split": "train",
    }
    return ImageRecord(**{**record, **overrides})


def make_inspection(**overrides):
    inspection = {
        "file_sha256": "1" * 64,
        "pixel_hash": "2" * 32,
        "perceptual_hash": "3" * 64,
        "file_format": "JPEG",
        "mode": "L",
        "width_px": 300,
        "height_px": 200,
        "bit_depth": 8,
        "mean": 0.5,
        "deviation": 0.2,
        "entropy": 7.0,
        "sharpness": 0.001,
        "border_fraction": 0.0,
        "flags": "",
    }
    return Inspection(**{**inspection, **overrides})


def make_refusal(image_id=IMAGE_ID):
    return Refusal(image_id=image_id, reason="blank", detail="white", action="look")


def table_of(*pairs, **options):
    """The table and the refusals of (record, what was found in its file)."""
    listed = pa.RecordBatch.from_pylist(
        [listed_row(record, FINDINGS) for record, _ in pairs], schema=listing_schema(FINDINGS)
    )
    entries = [entry_of(Opened(record.image_id, FileState(1, 2), "1" * 64, found)) for record, found in pairs]
    return inspected_table(listed, entries, SCHEMA, source="kermany", **options)


def row_of(record, found):
    table, refusals = table_of((record, found))
    return table.to_pylist()[0] if len(table) else refusals[0]


def test_rows_hold_what_the_source_says_and_what_the_file_holds():
    table, refusals = table_of((make_record(), make_inspection()))
    assert (table.schema, refusals) == (SCHEMA, [])
    row = table.to_pylist()[0]
    assert (row["image_id"], row["source"], row["label_pneumonia"]) == (IMAGE_ID, "kermany", "negative")
    assert (row["width_px"], row["mean"], row["pixel_hash"]) == (300, 0.5, "2" * 32)


def test_usable_and_refused_images_stay_apart_and_in_order():
    names = ["a", "b", "c", "d", "e"]
    found = [
        make_inspection(mean=0.1),
        make_refusal("b"),
        make_inspection(mean=0.3),
        make_inspection(),
        make_refusal("e"),
    ]
    records = [make_record(image_id=name, patient_id="" if name == "d" else name) for name in names]
    table, refusals = table_of(*zip(records, found, strict=True))
    assert table.select(["image_id", "patient_id", "mean"]).to_pylist() == [
        {"image_id": "a", "patient_id": "a", "mean": 0.1},
        {"image_id": "c", "patient_id": "c", "mean": 0.3},
    ]
    assert [(one.image_id, one.reason) for one in refusals] == [
        ("b", "blank"),
        ("d", "unknown_patient"),
        ("e", "blank"),
    ]


def test_where_nothing_is_usable_the_table_is_empty():
    table, refusals = table_of((make_record(), make_refusal()))
    assert (len(table), table.schema) == (0, SCHEMA)
    assert refusals == [make_refusal()]


def test_boxes_in_pixels_of_the_file_stay():
    box = Box(finding="pneumonia", x=10, y=20.5, width=30, height=40)
    expected = [{"finding": "pneumonia", "x": 10, "y": 20.5, "width": 30, "height": 40}]
    assert json.loads(row_of(make_record(boxes=(box,)), make_inspection())["boxes"]) == expected
    assert json.loads(row_of(make_record(boxes=(box,), box_frame=(300, 200)), make_inspection())["boxes"]) == expected
    assert row_of(make_record(), make_inspection())["boxes"] == "[]"


def test_boxes_of_another_frame_are_scaled_along():
    box = Box(finding="pneumonia", x=100, y=200, width=50, height=80)
    row = row_of(make_record(boxes=(box,), box_frame=(1024, 1024)), make_inspection(width_px=512, height_px=256))
    assert json.loads(row["boxes"]) == [{"finding": "pneumonia", "x": 50, "y": 50, "width": 25, "height": 20}]


def test_the_header_fills_what_the_source_leaves_open():
    row = row_of(make_record(patient_id="", study_id=""), make_inspection(header=HEADER))
    assert (row["patient_id"], row["study_id"], row["view"], row["sex"], row["age_years"]) == (
        *("h1", "h2", "pa", "female"),
        41.0,
    )


def test_what_the_source_says_stands():
    record = make_record(patient_id="", study_id="s1", view="ap", sex="male", age_years=7.0)
    row = row_of(record, make_inspection(header=HEADER))
    assert (row["patient_id"], row["study_id"], row["view"], row["sex"], row["age_years"]) == (
        *("h1", "s1", "ap", "male"),
        7.0,
    )


def test_a_source_that_knows_the_patient_leaves_the_rest_to_the_header():
    """A column ``patient`` in labels.csv threw view, sex, age and study of the headers away."""
    row = row_of(make_record(study_id=""), make_inspection(header=HEADER))
    assert (row["patient_id"], row["study_id"], row["view"], row["sex"], row["age_years"]) == (
        *("IM1", "h2", "pa", "female"),
        41.0,
    )


def test_lateral_views_are_left_out_and_counted_unless_they_are_asked_for():
    lateral = HeaderFacts(patient_id="h1", study_id="h2", view="lateral", sex="female", age_years=41.0)
    pairs = [
        (make_record(image_id="a", patient_id=""), make_inspection(header=lateral)),
        (make_record(image_id="b", view="lateral"), make_inspection()),  # of any source with views
        (make_record(image_id="c", view="pa"), make_inspection(header=lateral)),  # the source is believed
    ]
    table, refusals = table_of(*pairs)
    assert table["image_id"].to_pylist() == ["c"]
    assert [(one.image_id, one.reason) for one in refusals] == [("a", "lateral_view"), ("b", "lateral_view")]
    assert len(table_of(*pairs, frontal_only=False)[0]) == 3


@pytest.mark.parametrize("header", [None, HeaderFacts(patient_id="", study_id="", view="pa", sex="male", age_years=1)])
def test_an_image_of_nobody_is_refused(header):
    refused = row_of(make_record(patient_id=""), make_inspection(header=header))
    assert isinstance(refused, Refusal)
    assert refused.reason == "unknown_patient"


def test_an_image_without_a_study_is_its_own():
    assert row_of(make_record(study_id=""), make_inspection())["study_id"] == "train/NORMAL/IM-0001-0001.jpeg"

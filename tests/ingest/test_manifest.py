from __future__ import annotations

import json

import pytest

from cxr_tasks.contracts.labels import LabelState
from cxr_tasks.contracts.records import MANIFEST_COLUMNS
from cxr_tasks.ingest.inspect import HeaderFacts, Inspection
from cxr_tasks.ingest.manifest import inspected_row, inspected_schema, listed_row, listing_schema, manifest_schema
from cxr_tasks.sources.base import Box, ImageRecord, Refusal

FINDINGS = ("pneumonia",)
HEADER = HeaderFacts(patient_id="h1", study_id="h2", view="pa", sex="female", age_years=41.0)


def make_record(**overrides):
    record = {
        "image_id": "train/NORMAL/IM-0001-0001.jpeg",
        "patient_id": "IM1",
        "study_id": "s1",
        "states": {"pneumonia": LabelState.NEGATIVE},
        "official_split": "train",
    }
    return ImageRecord(**{**record, **overrides})


def make_inspection(**overrides):
    inspection = {
        "file_sha256": "1" * 64,
        "pixel_hash": "2" * 64,
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


def row_of(record, inspection):
    return inspected_row(listed_row(record, FINDINGS), inspection, source="kermany")


def test_rows_have_the_columns_of_their_schemas():
    assert set(listed_row(make_record(), FINDINGS)) == set(listing_schema(FINDINGS).names)
    assert set(row_of(make_record(), make_inspection())) == set(inspected_schema(FINDINGS).names)


def test_manifest_has_the_contract_columns_in_order_and_two_more_than_a_part():
    names = manifest_schema(FINDINGS).names
    assert names == [*MANIFEST_COLUMNS, "label_pneumonia"]
    assert set(names) - set(inspected_schema(FINDINGS).names) == {"split", "duplicate_group"}


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("width_px", "int64"),
        ("bit_depth", "int64"),
        ("mean", "double"),
        ("age_years", "double"),
        ("image_id", "string"),
        ("flags", "string"),
    ],
)
def test_types_of_columns(column, kind):
    assert str(manifest_schema(FINDINGS).field(column).type) == kind


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


def test_a_source_that_knows_the_patient_is_not_asked_about():
    row = row_of(make_record(view="unknown"), make_inspection(header=HEADER))
    assert (row["patient_id"], row["view"]) == ("IM1", "unknown")


@pytest.mark.parametrize("header", [None, HeaderFacts(patient_id="", study_id="", view="pa", sex="male", age_years=1)])
def test_an_image_of_nobody_is_refused(header):
    refused = row_of(make_record(patient_id=""), make_inspection(header=header))
    assert isinstance(refused, Refusal)
    assert refused.reason == "unknown_patient"


def test_an_image_without_a_study_is_its_own():
    assert row_of(make_record(study_id=""), make_inspection())["study_id"] == "train/NORMAL/IM-0001-0001.jpeg"

from __future__ import annotations

import pytest

from cxr_tasks.contracts.labels import LabelState
from cxr_tasks.contracts.records import MANIFEST_COLUMNS
from cxr_tasks.ingest.manifest import inspected_schema, listed_row, listing_schema, manifest_schema
from cxr_tasks.sources.base import ImageRecord

FINDINGS = ("pneumonia",)


def make_record(**overrides):
    record = {
        "image_id": "train/NORMAL/IM-0001-0001.jpeg",
        "patient_id": "IM1",
        "study_id": "s1",
        "states": {"pneumonia": LabelState.NEGATIVE},
        "official_split": "train",
    }
    return ImageRecord(**{**record, **overrides})


def test_rows_have_the_columns_of_their_schema():
    assert set(listed_row(make_record(), FINDINGS)) == set(listing_schema(FINDINGS).names)


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

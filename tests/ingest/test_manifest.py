from __future__ import annotations

import json

import pandas as pd
import pytest

from cxr_tasks.contracts.labels import LabelState
from cxr_tasks.contracts.records import MANIFEST_COLUMNS
from cxr_tasks.contracts.specs import SplitSpec
from cxr_tasks.ingest.inspect import Inspection
from cxr_tasks.ingest.manifest import build_manifest, write_manifest
from cxr_tasks.sources.base import Box, ImageRecord


def make_image(number=1, *, state=LabelState.NEGATIVE, **overrides):
    record = {
        "image_id": f"train/NORMAL/IM-{number:04d}-0001.jpeg",
        "patient_id": f"IM{number}",
        "study_id": f"s{number}",
        "states": {"pneumonia": state},
        "official_split": "train",
    }
    inspection = Inspection(
        file_sha256=f"{number:064x}",
        pixel_sha256=f"{number:064x}",
        file_format="JPEG",
        mode="L",
        width_px=300,
        height_px=200,
        mean=0.5,
        deviation=0.2,
    )
    return ImageRecord(**{**record, **overrides}), inspection


def build(images):
    return build_manifest(images, source="kermany", findings=["pneumonia"], split=SplitSpec(salt="s", validation=0.2))


def test_rows_are_sorted_by_image_and_columns_stand_in_contract_order():
    table = build([make_image(3), make_image(1, state=LabelState.POSITIVE), make_image(2)])
    assert table["patient_id"].tolist() == ["IM1", "IM2", "IM3"]
    assert list(table.columns) == [*MANIFEST_COLUMNS, "label_pneumonia"]
    assert table["label_pneumonia"].tolist() == ["positive", "negative", "negative"]


def test_boxes_are_json_in_original_pixels():
    box = Box(finding="pneumonia", x=10, y=20.5, width=30, height=40)
    table = build([make_image(1, boxes=(box,)), make_image(2)])
    assert json.loads(table["boxes"][0]) == [{"finding": "pneumonia", "x": 10, "y": 20.5, "width": 30, "height": 40}]
    assert table["boxes"][1] == "[]"


@pytest.mark.parametrize(
    ("column", "kind"),
    [("width_px", "int64"), ("mean", "float64"), ("age_years", "float64"), ("image_id", "str"), ("split", "str")],
)
def test_types_survive_the_file(tmp_path, column, kind):
    write_manifest(tmp_path / "manifest.parquet", build([make_image(1), make_image(2)]))
    assert str(pd.read_parquet(tmp_path / "manifest.parquet")[column].dtype) == kind


def test_the_same_table_gives_the_same_bytes(tmp_path):
    for name in ("a.parquet", "b.parquet"):
        write_manifest(tmp_path / name, build([make_image(1), make_image(2)]))
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()

"""Manifest rows into index rows."""

from __future__ import annotations

import json
import math

import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.records import INDEX_COLUMNS
from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.prepare.index_rows import index_of, stored_boxes, targets_of

PIXELS = PixelSpec(size_px=64)


def make_index(manifest):
    return index_of(manifest, "pneumonia", PIXELS, salt="s", secret=bytes(32))


def test_index_has_the_agreed_columns_in_order_of_split_and_image(image_folder, make_manifest):
    shuffled = make_manifest(image_folder).sample(frac=1, random_state=3)
    index = make_index(shuffled)
    assert list(index.columns) == [*INDEX_COLUMNS, "label_pneumonia"]
    assert index["split"].tolist() == ["train"] * 4 + ["validation"] * 4 + ["test"] * 4
    assert all(part["image_id"].is_monotonic_increasing for _, part in index.groupby("split"))
    assert index["aspect_ratio"].iloc[0] == pytest.approx(30 / 24)


def test_no_patient_id_is_left_and_images_of_a_patient_stay_together(image_folder, make_manifest):
    index = make_index(make_manifest(image_folder))
    assert not index.astype(str).apply(lambda column: column.str.contains("patient ").any()).any()
    assert index["patient_key"].nunique() == 6


@pytest.mark.parametrize(
    ("state", "target"),
    [("positive", 1.0), ("negative", 0.0), ("uncertain", math.nan), ("unmentioned", math.nan)],
)
def test_unknown_is_not_negative(image_folder, make_manifest, state, target):
    index = make_index(make_manifest(image_folder, label_pneumonia=state))
    value = targets_of(index, "pneumonia").iloc[0, 0]
    assert value == pytest.approx(target, nan_ok=True)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"split": "training"}, "column split: 'training' is not known"),
        ({"label_pneumonia": "maybe"}, "column label_pneumonia: 'maybe' is not known"),
        ({"image_id": "a.png"}, "12 image ids stand more than once|11 image ids stand more than once"),
        ({"patient_id": "one"}, "1 patients are in more than one split"),
    ],
)
def test_a_manifest_that_breaks_a_rule_is_refused(image_folder, make_manifest, columns, message):
    with pytest.raises(DataDefect, match=message):
        make_index(make_manifest(image_folder, **columns))


def test_a_missing_column_is_named(image_folder, make_manifest):
    with pytest.raises(DataDefect, match="without view"):
        make_index(make_manifest(image_folder).drop(columns="view"))


BOX = {"finding": "opacity", "x": 50, "y": 100, "width": 100, "height": 50}


def test_boxes_are_stretched_with_the_picture():
    # 200x100 becomes 64x64: x by 0.32, y by 0.64.
    stored = stored_boxes([{**BOX, "y": 50}], 200, 100, PixelSpec(size_px=64))
    assert [stored[0][key] for key in ("x", "y", "width", "height")] == pytest.approx([16, 32, 32, 32])
    assert json.loads(json.dumps(stored)) == stored


def test_a_box_that_a_crop_cuts_away_is_left_out():
    outside = {**BOX, "x": 0, "width": 40}  # the crop keeps columns 50 to 150
    assert stored_boxes([outside], 200, 200 // 2, PixelSpec(size_px=64, fit="crop")) == []


def test_a_crop_cuts_the_box_too():
    # 200x100, centre crop 50..150: the box 50..150 fills the width; at 0.64 per pixel it is 64 wide.
    stored = stored_boxes([{**BOX, "y": 0}], 200, 100, PixelSpec(size_px=64, fit="crop"))
    assert [stored[0][key] for key in ("x", "y", "width", "height")] == pytest.approx([0, 0, 64, 32])

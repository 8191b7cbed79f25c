"""What two versions do not have in common."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from cxr_tasks.contracts.labels import findings_of
from cxr_tasks.datasets.difference import differences
from tests.prepare.folders import RECIPE, manifest_of, stored_folder, with_vocabulary


def difference_of(one, other, recipe=RECIPE, *, recipe_before=RECIPE):
    before = stored_folder("aa", one, recipe=recipe_before)
    after = stored_folder("bb", other, recipe=recipe)
    found = differences(Path(before.folder), Path(after.folder))
    return json.loads(json.dumps(found))  # what --json prints


def changed(column, value, rows):
    table = manifest_of()
    table[column] = table[column].astype(object)
    table.loc[rows, column] = value
    return table


def test_equal_versions_do_not_differ(cxr_home):
    found = difference_of(manifest_of(), manifest_of())
    assert found["settings"] == {} and found["labels"] == {} and found["findings"] == {"out": [], "in": []}
    assert found["patients"] == {"n_before": 6, "n_after": 6, "out": 0, "in": 0, "split": 0}
    images = found["images"]
    assert (images["in"], images["out"], images["content"], images["split"], images["details"]) == ([], [], [], {}, {})


def test_patients_and_images_in_and_out(cxr_home):
    found = difference_of(manifest_of(6), manifest_of(9)[2:])  # p0 out; p6, p7, p8 in
    assert found["patients"] == {"n_before": 6, "n_after": 8, "out": 1, "in": 3, "split": 0}
    assert found["images"]["out"] == ["x/000.png", "x/001.png"]
    assert found["images"]["in"] == [f"x/{number:03d}.png" for number in range(12, 18)]


@pytest.mark.parametrize(
    ("column", "value", "where", "expected"),
    [
        ("file_sha256", "ff", "content", ["x/002.png"]),
        ("age_years", 40.0, "details", {"age_years": ["x/002.png"]}),
        ("view", "ap", "details", {"view": ["x/002.png"]}),
    ],
)
def test_a_changed_image_is_found_by_what_changed(cxr_home, column, value, where, expected):
    found = difference_of(manifest_of(), changed(column, value, 2))
    assert found["images"][where] == expected
    assert found["images"]["in"] == found["images"]["out"] == []


def test_labels_and_splits_are_counted_by_what_they_were_and_are(cxr_home):
    after = changed("label_pneumonia", "positive", [0, 5])
    after["split"] = after["split"].where(after["patient_id"] != "p3", "test")  # was train
    found = difference_of(manifest_of(), after)
    assert found["labels"] == {"pneumonia": {"negative -> positive": ["x/000.png", "x/005.png"]}}
    assert found["images"]["split"] == {"train -> test": ["x/006.png", "x/007.png"]}
    assert found["patients"]["split"] == 1


def test_another_salt_makes_patients_incomparable_and_is_a_changed_setting(cxr_home):
    other = dataclasses.replace(RECIPE, split=dataclasses.replace(RECIPE.split, salt="other"))
    found = difference_of(manifest_of(), manifest_of(), other)
    assert found["patients"] is None and "patient_key" not in found["images"]["details"]
    assert found["settings"] == {"split.salt": ["2026-11", "other"]}


ONLY_NIH = ["infiltration", "mass", "nodule", "emphysema", "fibrosis", "pleural_thickening", "hernia"]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("nih14", "shared7", {"out": ONLY_NIH, "in": []}),
        ("shared7", "nih14", {"out": [], "in": ONLY_NIH}),
        ("pneumonia", "shared7", {"out": [], "in": [one for one in findings_of("shared7") if one != "pneumonia"]}),
    ],
)
def test_findings_in_and_out_and_labels_of_those_that_both_have(cxr_home, before, after, expected):
    one = manifest_of(findings=findings_of(before))
    other = manifest_of(findings=findings_of(after))
    other.loc[3, "label_pneumonia"] = "positive"
    found = difference_of(one, other, with_vocabulary(after), recipe_before=with_vocabulary(before))
    assert found["findings"] == expected
    assert found["labels"] == {"pneumonia": {"negative -> positive": ["x/003.png"]}}

from __future__ import annotations

import json

import pytest

from expectations.derived import parsed_boxes, with_derived_columns
from tests.builders import manifest_table


def derive(**columns):
    """Four images: two of one patient in train, one in test, one in validation; columns may be replaced."""
    values = {
        "patient_id": ["p1", "p1", "p2", "p3"],
        "split": ["train", "train", "test", "validation"],
        "width_px": [200, 100, 100, 100],
        "height_px": 100,
        "label_pneumonia": ["positive", "negative", "positive", "negative"],
        "sub_label": ["virus", "", "", ""],
    }
    return with_derived_columns(manifest_table(4, **values | columns), ["pneumonia"])


def test_patients_and_pixels_are_counted_over_splits():
    table = derive(patient_id=["p1", "p1", "p1", "p3"], pixel_hash=["h1", "h2", "h3", "h1"])
    assert table["n_splits_of_patient"].tolist() == [2, 2, 2, 1]
    assert table["n_splits_of_pixels"].tolist() == [2, 1, 1, 2]


def test_nearly_equal_pictures_are_counted_over_splits_and_lone_ones_are_in_one():
    assert derive(duplicate_group=["a", "", "a", ""])["n_splits_of_near_pixels"].tolist() == [2, 1, 2, 1]
    assert derive(duplicate_group=["a", "a", "", ""])["n_splits_of_near_pixels"].tolist() == [1, 1, 1, 1]
    assert derive()["n_splits_of_near_pixels"].tolist() == [1, 1, 1, 1]


def test_equal_pixels_with_different_labels_are_counted():
    assert derive(pixel_hash=["h1", "h1", "h3", "h4"])["n_label_sets_of_pixels"].tolist() == [2, 2, 1, 1]
    assert derive()["n_label_sets_of_pixels"].tolist() == [1, 1, 1, 1]


def test_a_finer_label_needs_a_finding():
    found = derive(sub_label=["virus", "virus", "", ""])["is_sub_label_without_finding"]
    assert found.tolist() == [False, True, False, False]


def test_sexes_of_a_patient_are_counted_without_unknown_ones():
    assert derive(sex=["male", "unknown", "male", "unknown"])["n_sexes_of_patient"].tolist() == [1, 1, 1, 0]
    assert derive(sex=["male", "female", "male", "male"])["n_sexes_of_patient"].tolist() == [2, 2, 1, 1]


def test_images_of_the_official_test_are_looked_for_elsewhere():
    found = derive(official_split=["test", "train", "test", ""])["is_official_test_elsewhere"]
    assert found.tolist() == [True, False, False, False]


def test_no_finding_is_contradicted_by_an_illness_and_not_by_a_device():
    findings = ("no_finding", "edema", "support_devices")
    table = manifest_table(
        4,
        findings,
        label_no_finding=["positive", "positive", "positive", "unmentioned"],
        label_edema=["positive", "uncertain", "unmentioned", "positive"],
        label_support_devices=["unmentioned", "unmentioned", "positive", "unmentioned"],
    )
    derived = with_derived_columns(table, findings)
    assert derived["is_no_finding_contradicted"].tolist() == [True, False, False, False]


def told(**changed):
    return json.dumps([{"finding": "pneumonia", "x": 0, "y": 0, "width": 10, "height": 10} | changed])


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (told(width=200, height=100), ""),  # the whole picture
        (told(x=-1, y=-1), ""),  # a pixel of rounding
        (told(x=150, width=60), "box 1 (pneumonia) reaches beyond the picture of 200 x 100"),
        (told(y=95), "box 1 (pneumonia) reaches beyond the picture of 200 x 100"),
        (told(x=-5), "box 1 (pneumonia) reaches beyond the picture of 200 x 100"),
        (told(width=0), "box 1 (pneumonia) is empty"),
        (told(height=-3), "box 1 (pneumonia) is empty"),
        (told(finding="Infiltrate"), "box 1 marks the unknown finding 'Infiltrate'"),
        (told(x="1"), "box 1 lacks a number among x, y, width, height"),
        (told(x=True), "box 1 lacks a number among x, y, width, height"),
        ('[{"finding": "mass"}]', "box 1 lacks a number among x, y, width, height"),
        ("[3]", "box 1 lacks a number among x, y, width, height"),
        ("{}", "not a list of boxes"),
        ("[", "not JSON"),
        (None, "not JSON"),
    ],
)
def test_what_is_wrong_with_boxes_is_said(text, fault):
    assert parsed_boxes(text, 200, 100)[1] == fault


def test_a_box_goes_with_a_positive_finding_of_the_vocabulary():
    table = derive(boxes=[told(), told(), told(finding="mass"), "[]"])
    assert table["box_fault"].tolist() == ["", "", "", ""]
    assert table["n_boxes_without_finding"].tolist() == [0, 1, 0, 0]  # mass is no finding of this vocabulary


@pytest.mark.parametrize(
    ("missing", "left_out"),
    [
        ("patient_id", "n_splits_of_patient"),
        ("boxes", "box_fault"),
        ("label_pneumonia", "is_sub_label_without_finding"),
        ("width_px", "aspect_ratio"),
        ("sub_label", "n_label_sets_of_pixels"),
        ("duplicate_group", "n_splits_of_near_pixels"),
        ("official_split", "is_official_test_elsewhere"),
    ],
)
def test_a_missing_column_leaves_out_what_needs_it_and_keeps_the_rest(missing, left_out):
    whole = derive()
    table = with_derived_columns(manifest_table(4).drop(columns=missing), ["pneumonia"])
    assert left_out in whole
    assert left_out not in table
    assert "image_id" in table

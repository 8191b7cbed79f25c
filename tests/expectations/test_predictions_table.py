from __future__ import annotations

import pandas as pd
import pytest

from expectations.predictions_table import checked_predictions, coverage

FINDINGS = ("pneumonia",)
INDEX = pd.DataFrame(
    {
        "image_id": ["a", "b", "c", "d"],
        "split": ["train", "validation", "test", "test"],
        "patient_key": ["p1", "p2", "p3", "p4"],
        "label_pneumonia": ["positive", "positive", "negative", "uncertain"],
    }
)


def make_predictions(**columns):
    values = {
        "image_id": ["b", "c", "d"],
        "split": ["validation", "test", "test"],
        "patient_key": ["p2", "p3", "p4"],
        "target_pneumonia": [1.0, 0.0, float("nan")],
        "logit_pneumonia": [2.0, -1.0, 0.5],
    }
    return pd.DataFrame(values | columns)


def faults(**columns):
    table = checked_predictions(make_predictions(**columns), INDEX, FINDINGS)
    return table["row_fault"].tolist(), table["target_fault"].tolist()


GOOD = ["", "", ""]


@pytest.mark.parametrize(
    ("columns", "row_faults", "target_faults"),
    [
        ({}, GOOD, GOOD),
        ({"target_pneumonia": [1.0, 0.0, 1.0]}, GOOD, GOOD),  # what uncertain counts as is a setting
        ({"image_id": ["b", "x", "d"]}, ["", "not in the index", ""], GOOD),
        ({"split": ["test", "test", "test"]}, ["in another split of the index", "", ""], GOOD),
        ({"patient_key": ["p2", "p3", "p3"]}, ["", "", "another patient in the index"], GOOD),
        (
            {"target_pneumonia": [0.0, 1.0, float("nan")]},
            GOOD,
            ["pneumonia: index positive, target 0.0", "pneumonia: index negative, target 1.0", ""],
        ),
        ({"target_pneumonia": [float("nan")] * 3}, GOOD, [
            "pneumonia: index positive, target nan", "pneumonia: index negative, target nan", "",
        ]),
    ],
)  # fmt: skip
def test_how_a_row_differs_from_the_index_is_said(columns, row_faults, target_faults):
    assert faults(**columns) == (row_faults, target_faults)


def test_missing_columns_leave_out_what_needs_them():
    narrow = checked_predictions(make_predictions().drop(columns="patient_key"), INDEX, FINDINGS)
    assert "row_fault" not in narrow
    no_target = checked_predictions(make_predictions().drop(columns="target_pneumonia"), INDEX, FINDINGS)
    assert no_target["target_fault"].tolist() == GOOD


@pytest.mark.parametrize(
    ("image_ids", "counts"), [(["b", "c", "d"], [1, 1, 1]), (["b", "c", "c"], [1, 2, 0]), (["x", "b", "c"], [1, 1, 0])]
)
def test_answers_are_counted_for_validation_and_test_images(image_ids, counts):
    table = coverage(make_predictions(image_id=image_ids), INDEX)
    assert table["image_id"].tolist() == ["b", "c", "d"]
    assert table["n_predictions"].tolist() == counts


def test_without_image_ids_nothing_is_covered():
    assert coverage(pd.DataFrame({"split": ["test"]}), INDEX)["n_predictions"].tolist() == [0, 0, 0]

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expectations.derived import shortcut_auroc, with_derived_columns


def make_manifest(**columns):
    """Four images of two patients in train and two in test; columns may be replaced or set to None to drop them."""
    table = {
        "image_id": ["a", "b", "c", "d"],
        "patient_id": ["p1", "p1", "p2", "p3"],
        "split": ["train", "train", "test", "validation"],
        "pixel_sha256": ["h1", "h2", "h3", "h4"],
        "label_pneumonia": ["positive", "negative", "positive", "negative"],
        "sub_label": ["virus", "", "", ""],
        "boxes": ["[]"] * 4,
        "width_px": [200, 100, 100, 100],
        "height_px": [100, 100, 100, 100],
        "mode": ["L", "L", "RGB", "L"],
        "file_format": ["JPEG"] * 4,
        "mean": [0.5, 0.4, 0.6, 0.3],
        "deviation": [0.2] * 4,
    } | columns
    return pd.DataFrame({name: value for name, value in table.items() if value is not None})


def derive(**columns):
    return with_derived_columns(make_manifest(**columns), ["pneumonia"])


def test_patients_and_pixels_are_counted_over_splits():
    table = derive(patient_id=["p1", "p1", "p1", "p3"], pixel_sha256=["h1", "h2", "h3", "h1"])
    assert table["n_splits_of_patient"].tolist() == [2, 2, 2, 1]
    assert table["n_splits_of_pixels"].tolist() == [2, 1, 1, 2]


def test_equal_pixels_with_different_labels_are_counted():
    assert derive(pixel_sha256=["h1", "h1", "h3", "h4"])["n_label_sets_of_pixels"].tolist() == [2, 2, 1, 1]


def test_a_finer_label_needs_a_finding():
    assert derive(sub_label=["virus", "virus", "", ""])["is_sub_label_without_finding"].tolist() == [
        False,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("box", "n_outside"),
    [
        ((0, 0, 200, 100), 0),  # the whole picture
        ((-1, 0, 10, 10), 0),  # a pixel of rounding
        ((150, 50, 60, 20), 1),  # beyond the right edge
        ((10, 95, 10, 10), 1),  # beyond the lower edge
        ((-5, 10, 10, 10), 1),
        ((10, 10, 0, 5), 1),  # empty
    ],
)
def test_boxes_outside_their_picture_are_counted(box, n_outside):
    told = json.dumps([dict(zip(("x", "y", "width", "height"), box, strict=True), finding="pneumonia")])
    assert derive(boxes=[told, "[]", "[]", "[]"])["n_boxes_outside"].tolist() == [n_outside, 0, 0, 0]


def test_split_and_state_and_prevalence_gap():
    table = derive()
    assert table["split_and_state_pneumonia"].tolist() == [
        "train:positive",
        "train:negative",
        "test:positive",
        "validation:negative",
    ]
    assert set(table["prevalence_gap_pneumonia"]) == {0.5}  # half of train, none of validation


@pytest.mark.parametrize("missing", ["patient_id", "boxes", "label_pneumonia", "width_px", "mode", "sub_label"])
def test_a_missing_column_leaves_out_what_needs_it_and_keeps_the_rest(missing):
    table = derive(**{missing: None})
    assert "image_id" in table
    assert ("aspect_ratio" in table) == (missing != "width_px")
    assert ("n_splits_of_patient" in table) == (missing != "patient_id")


@pytest.mark.parametrize(
    ("value", "is_positive", "auroc"),
    [
        ([1, 2, 3, 4], [False, False, True, True], 1.0),
        ([4, 3, 2, 1], [False, False, True, True], 1.0),  # either direction gives it away
        ([1, 1, 1, 1], [False, False, True, True], 0.5),
        ([1, 2, 2, 3], [False, True, False, True], 0.875),  # the tie counts half
        (["L", "RGB", "L", "RGB"], [False, True, False, True], 1.0),
        (["L", "L", "L", "L"], [False, True, False, True], 0.5),
    ],
)
def test_shortcut_auroc_of_known_cases(value, is_positive, auroc):
    assert shortcut_auroc(pd.Series(value), pd.Series(is_positive)) == pytest.approx(auroc)


def test_shortcut_auroc_has_no_value_with_one_class():
    assert np.isnan(shortcut_auroc(pd.Series([1, 2]), pd.Series([True, True])))


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=4, max_size=40), st.randoms())
def test_shortcut_auroc_is_in_range_and_does_not_depend_on_order(pairs, random):
    is_positive = pd.Series([one for _, one in pairs])
    if is_positive.nunique() < 2:
        return
    auroc = shortcut_auroc(pd.Series([value for value, _ in pairs]), is_positive)
    assert 0.5 <= auroc <= 1
    random.shuffle(pairs)
    again = shortcut_auroc(pd.Series([value for value, _ in pairs]), pd.Series([one for _, one in pairs]))
    assert again == pytest.approx(auroc)

from __future__ import annotations

import pandas as pd
import pytest

from cxr_tasks.contracts.labels import SPLITS
from expectations.prepared_table import example_table, split_table

FINDINGS = ("pneumonia", "edema")
#: (split, image_id, patient_key)
ROWS = [
    ("train", "a", "p1"), ("train", "b", "p1"), ("train", "c", "p2"), ("validation", "d", "p3"), ("test", "e", "p4"),
]  # fmt: skip
BOX = '[{"finding": "edema", "x": 2, "y": 2, "width": 4, "height": 4}]'


def make_index(**columns):
    table = pd.DataFrame(ROWS, columns=["split", "image_id", "patient_key"]).assign(
        source="made", view="pa", sex="male", age_years=[30.0, 31.0, float("nan"), 50.0, 60.0], sub_label="",
        boxes=[BOX, "[]", "[]", "[]", "[]"], file_sha256="0" * 64, aspect_ratio=1.0,
        label_pneumonia=["positive", "negative", "uncertain", "positive", "negative"], label_edema="unmentioned",
    )  # fmt: skip
    return table.assign(**columns)


def make_stored(**columns):
    """What the shards hold: the same as ``make_index()``, with columns replaced over all splits."""
    index = make_index()
    facts = index[["split", "image_id", "patient_key", "source", "view", "sex", "age_years"]].assign(
        label_pneumonia=index["label_pneumonia"], label_edema=index["label_edema"], target_fault="", box_fault="",
        n_boxes=[1, 0, 0, 0, 0], mean=0.5, deviation=0.2, grey_range=1.0,
    )  # fmt: skip
    facts = facts.assign(**columns)
    return {split: facts[facts["split"] == split].drop(columns="split") for split in SPLITS}


FAULTS = ["order_fault", "label_fault", "target_fault", "metadata_fault", "box_fault"]


def faults(index, stored):
    """(image, column) -> description, where there is one."""
    table = example_table(index, stored, FINDINGS, size_px=16)
    return {
        (row["image_id"], column): row[column] for row in table.to_dict("records") for column in FAULTS if row[column]
    }


def test_equal_sides_have_no_fault_and_missing_ages_are_equal():
    assert faults(make_index(), make_stored()) == {}
    table = example_table(make_index(), make_stored(), FINDINGS, size_px=16)
    assert table["n_splits_of_patient"].tolist() == [1] * 5
    assert table["deviation"].tolist() == [0.2] * 5


@pytest.mark.parametrize(
    ("index", "stored", "expected"),
    [
        (
            {},
            {"label_pneumonia": ["positive", "positive", "uncertain", "positive", "negative"]},
            {("b", "label_fault"): "pneumonia: index negative, stored positive"},
        ),
        (
            {"label_edema": ["unmentioned", "uncertain", "unmentioned", "unmentioned", "unmentioned"]},
            {},
            {("b", "label_fault"): "edema: index uncertain, stored unmentioned"},
        ),
        (
            {"label_edema": ["unmentioned", None, "unmentioned", "unmentioned", "unmentioned"]},
            {},
            {("b", "label_fault"): "edema: index nothing, stored unmentioned"},
        ),
        ({"view": ["pa", "ap", "pa", "pa", "pa"]}, {}, {("b", "metadata_fault"): "view differs"}),
        (
            {"patient_key": ["p1", "p1", "p2", "p3", "p5"], "sex": ["male"] * 4 + ["female"]},
            {},
            {("e", "metadata_fault"): "patient_key differs; sex differs"},
        ),
        ({"age_years": [30.0, 31.0, float("nan"), 50.0, 61.0]}, {}, {("e", "metadata_fault"): "age_years differs"}),
        ({"age_years": [30.0, 31.0, 40.0, 50.0, 60.0]}, {}, {("c", "metadata_fault"): "age_years differs"}),
        ({}, {"n_boxes": [2, 0, 0, 0, 0]}, {("a", "box_fault"): "index has 1, stored are 2"}),
        ({}, {"n_boxes": [1, 0, 0, 1, 0]}, {("d", "box_fault"): "index has 0, stored are 1"}),
        ({"boxes": [BOX, "[", "[]", "[]", "[]"]}, {}, {("b", "box_fault"): "index: not JSON"}),
        (
            {"boxes": [BOX.replace('"x": 2', '"x": 14'), "[]", "[]", "[]", "[]"]},
            {},
            {("a", "box_fault"): "index: box 1 (edema) reaches beyond the picture of 16 x 16"},
        ),
        ({}, {"box_fault": ["", "", "bad", "", ""]}, {("c", "box_fault"): "bad"}),
        ({}, {"target_fault": ["", "bad", "", "", ""]}, {("b", "target_fault"): "bad"}),
    ],
)
def test_what_differs_is_said_of_its_row_alone(index, stored, expected):
    assert faults(make_index(**index), make_stored(**stored)) == expected


def test_an_example_on_one_side_only_has_a_row_too():
    assert faults(make_index().drop(index=2), make_stored()) == {("c", "order_fault"): "not in the index"}
    short = make_stored() | {"test": make_stored()["test"].iloc[:0]}
    assert faults(make_index(), short) == {("e", "order_fault"): "not stored"}


def test_examples_in_another_order_are_told_and_not_compared_further():
    stored = make_stored()
    stored["train"] = stored["train"].iloc[[1, 0, 2]]
    other = "another is stored"
    assert faults(make_index(), stored) == {("a", "order_fault"): other, ("b", "order_fault"): other}


def test_a_row_of_an_unknown_split_is_not_lost():
    index = make_index(split=["train", "train", "holdout", "validation", "test"])
    found = faults(index, make_stored())
    assert found[("c", "order_fault")] in {"not in the index", "not stored: its split is not known"}
    assert len(example_table(index, make_stored(), FINDINGS, size_px=16)) == 6


def test_a_patient_in_two_splits_is_counted():
    table = example_table(make_index(patient_key=["p1", "p1", "p2", "p3", "p2"]), make_stored(), FINDINGS, size_px=16)
    assert table.set_index("image_id")["n_splits_of_patient"].to_dict() == {"a": 1, "b": 1, "c": 2, "d": 1, "e": 2}


def test_an_index_that_lacks_a_column_comes_back_as_it_is():
    narrow = make_index().drop(columns="sex")
    assert example_table(narrow, make_stored(), FINDINGS, size_px=16).equals(narrow)


@pytest.mark.parametrize(
    ("changed", "faulty"),
    [
        ({}, []),
        ({"declared": {"train": 4, "validation": 1, "test": 1}}, ["train"]),
        ({"metadata": {"train": 3, "validation": 1}}, ["test"]),  # a split that the metadata does not know
        ({"index": make_index().iloc[:-1]}, ["test"]),
    ],
)
def test_counts_of_a_split_agree_on_all_four_sides(changed, faulty):
    counts = {"train": 3, "validation": 1, "test": 1}
    given = {"index": make_index(), "declared": counts, "metadata": counts} | changed
    table = split_table(given["index"], make_stored(), declared=given["declared"], metadata=given["metadata"])
    assert table.loc[table["count_fault"] != "", "split"].tolist() == faulty

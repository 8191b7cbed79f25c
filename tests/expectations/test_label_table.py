from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expectations.label_table import gap, label_table
from tests.builders import manifest_table

SPLIT = ["train", "train", "validation", "validation", "test", "test"]


def row_of(states, **columns):
    table = label_table(manifest_table(6, label_pneumonia=states, split=SPLIT, **columns), ["pneumonia"])
    return table.iloc[0]


@pytest.mark.parametrize(
    ("states", "missing"),
    [
        (["positive", "negative"] * 3, ""),
        (["positive", "unmentioned"] * 3, ""),  # CheXpert's blanks stand for absent
        (["positive", "uncertain", "positive", "negative", "positive", "negative"], "train: absent"),
        (["positive", "negative", "positive", "negative", "negative", "negative"], "test: present"),
        (["negative"] * 6, "train: present, validation: present, test: present"),
        (["uncertain"] * 2 + ["positive", "negative"] * 2, "train: present, train: absent"),
    ],
)
def test_what_a_split_lacks_is_said(states, missing):
    assert row_of(states)["missing"] == missing


def test_states_are_counted_and_the_share_leaves_uncertain_ones_out():
    row = row_of(["positive", "uncertain", "unmentioned", "negative", "negative", "uncertain"])
    assert (row["n_present"], row["n_absent"], row["n_uncertain"]) == (1, 3, 2)
    assert row["share_present"] == 0.25


def test_complete_findings_are_counted_over_the_vocabulary():
    states = {"label_mass": ["positive", "negative"] * 3, "label_edema": "negative"}
    table = label_table(manifest_table(6, ("mass", "edema"), split=SPLIT, **states), ("mass", "edema"))
    assert table["n_complete_findings"].tolist() == [1, 1]


def test_a_finding_whose_column_is_missing_is_left_out():
    assert label_table(manifest_table(6), ("pneumonia", "edema"))["finding"].tolist() == ["pneumonia"]


@pytest.mark.parametrize(
    ("shares", "n", "expected"),
    [
        ((0.5, 0.6), 10_000, 0.2014 - 1.96 * (2 / 10_000) ** 0.5),  # Cohen's h of 0.5 and 0.6 is 0.2014
        ((0.5, 0.6), 20, 0.0),  # 2 more among 20 are chance
        ((0.02, 0.002), 10_000, 0.1944 - 1.96 * (2 / 10_000) ** 0.5),  # a rare finding, ten times as rare
        ((0.0, 1.0), 10_000, 3.1416 - 1.96 * (2 / 10_000) ** 0.5),  # as far apart as can be: pi
    ],
)
def test_gap_of_known_shares(shares, n, expected):
    one, other = (round(share * n) for share in shares)
    assert gap(one, n - one, other, n - other) == pytest.approx(expected, abs=2e-4)


@given(*[st.integers(0, 500) for _ in range(4)])
def test_gap_is_symmetric_and_does_not_care_which_class_is_called_present(a, b, c, d):
    assert gap(a, b, c, d) == pytest.approx(gap(c, d, a, b))
    assert gap(a, b, c, d) == pytest.approx(gap(b, a, d, c), abs=1e-9)
    assert gap(a, b, c, d) >= 0

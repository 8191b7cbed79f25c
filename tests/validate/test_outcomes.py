from __future__ import annotations

import json

import numpy as np
import pytest

from cxr_tasks.validate.outcomes import (
    KEPT_ROWS,
    Outcome,
    count_failed,
    failures_table,
    offending_rows_text,
    outcome_of,
)


def make_result(*, success=False, result=None, exception_info=None, **config):
    """A result as Great Expectations gives it, of a column expectation."""
    return {
        "success": success,
        "expectation_config": {
            "type": "expect_column_values_to_be_in_set",
            "kwargs": {"batch_id": "b", "column": "split", "value_set": ["train"]},
            "notes": "split holds known words only",
            "severity": "critical",
            **config,
        },
        "result": result if result is not None else {},
        "exception_info": exception_info or {"raised_exception": False, "exception_message": None},
    }


def test_rows_that_do_not_meet_it_are_counted_and_kept_to_a_bound():
    rows = [{"split": "holdout", "image_id": f"{number}.jpeg"} for number in range(50)]
    found = {"element_count": 200, "unexpected_count": 50, "unexpected_index_list": rows}
    outcome = outcome_of(make_result(result=found), "images")
    assert outcome.table == "images"
    assert (outcome.column, outcome.severity, outcome.success) == ("split", "critical", False)
    assert outcome.expected == {"value_set": ["train"]}
    assert outcome.observed == "50 of 200 rows do not meet it"
    assert outcome.n_unexpected == 50
    assert outcome.offending_rows == tuple(rows[:KEPT_ROWS])


@pytest.mark.parametrize(
    ("result", "observed"),
    [
        ({"observed_value": 0.81}, "0.81"),
        ({"observed_value": None, "partial_missing_list": ["test:negative"]}, "missing: test:negative"),
        (
            {"observed_value": ["a"], "details": {"mismatched": {"missing": ["patient_id"], "unexpected": ["pid"]}}},
            "missing: patient_id; unexpected: pid",
        ),
        ({}, ""),
    ],
)
def test_what_was_found_instead_is_told(result, observed):
    assert outcome_of(make_result(result=result), "images").observed == observed


@pytest.mark.parametrize(
    "info",
    [
        {"raised_exception": True, "exception_message": 'Error: The column "split" does not exist.'},
        {"metric 1": {"raised_exception": True, "exception_message": 'Error: The column "split" does not exist.'}},
    ],
)
def test_an_expectation_that_could_not_be_checked_is_failed_and_says_why(info):
    outcome = outcome_of(make_result(exception_info=info), "images")
    assert not outcome.success
    assert outcome.observed == 'could not be checked: Error: The column "split" does not exist.'


def make_outcome(**overrides):
    return Outcome(
        **{
            "table": "images",
            "expectation": "expect_x",
            "column": "split",
            "about": "split holds known words only",
            "severity": "critical",
            "success": False,
            "expected": {"value_set": ["train"]},
            "observed": "2 of 9 rows do not meet it",
            "n_unexpected": 2,
            "offending_rows": ({"split": "holdout", "image_id": "1.jpeg"}, {"split": "", "image_id": "2.jpeg"}),
            **overrides,
        }
    )


def test_failures_stand_critical_first_and_met_ones_are_left_out():
    outcomes = [make_outcome(severity="warning", about="w"), make_outcome(success=True), make_outcome(about="c")]
    lines = failures_table(outcomes).splitlines()
    assert [line.split()[:2] for line in lines[2:]] == [["critical", "c"], ["warning", "w"]]


def test_offending_rows_are_a_table_under_their_expectation():
    assert offending_rows_text([make_outcome(n_unexpected=7), make_outcome(success=True)]).splitlines() == [
        "split holds known words only (critical)",
        "split    image_id",
        "-------  --------",
        "holdout  1.jpeg",
        "         2.jpeg",
        "... and 5 more",
    ]
    assert offending_rows_text([make_outcome(offending_rows=())]) == ""


def test_failed_ones_are_counted_by_severity():
    outcomes = [make_outcome(), make_outcome(success=True), make_outcome(severity="warning"), make_outcome()]
    assert (count_failed(outcomes, "critical"), count_failed(outcomes, "warning")) == (2, 1)


def test_a_row_without_telling_columns_is_told_by_its_place():
    outcome = outcome_of(
        make_result(result={"unexpected_index_list": [3, 7], "unexpected_count": 2, "element_count": 9}), "images"
    )
    assert outcome.offending_rows == ({"row": 3}, {"row": 7})
    assert offending_rows_text([outcome]).splitlines()[1:] == ["row", "---", "  3", "  7"]


def test_cells_that_json_does_not_know_are_kept_as_text():
    cells = {"a": float("inf"), "b": float("nan"), "c": np.float64(0.5), "d": np.int64(3), "e": None, "f": b"x"}
    (row,) = outcome_of(make_result(result={"unexpected_index_list": [cells]}), "images").offending_rows
    assert row == {"a": "inf", "b": "nan", "c": 0.5, "d": 3, "e": None, "f": "b'x'"}
    json.dumps(row, allow_nan=False)

"""Numbers as tables have them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.sources.reading.numbers import number

TABLE = Path("/data/table.csv")


def read(text: str, low: float = -1e9, high: float = 1e9) -> float:
    return number(TABLE, 7, {"x": text}, "x", low=low, high=high)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3.0), ("3.5", 3.5), ("-1e-1", -0.1), ("+2", 2.0), ("0003", 3.0), ("225.084", 225.084),
        ("1,5", 1.5), ("-0,25", -0.25), (",5", 0.5), ("0,125", 0.125), ("1234,567", 1234.567), ("12,3456", 12.3456),
        ("1,5e3", 1500.0), ("1.234,5", 1234.5), ("1.234.567,25", 1234567.25), ("1,234.5", 1234.5),
        ("1,234,567", 1234567.0), ("1.234.567", 1234567.0),
    ],
)  # fmt: skip
def test_a_number_is_read_with_a_point_or_a_comma_where_it_means_one_number(text, value):
    assert read(text) == value


@pytest.mark.parametrize("text", ["1,500", "225,084", "-12,345"])
def test_a_comma_that_may_part_thousands_is_refused_with_both_numbers(text):
    with pytest.raises(DataDefect, match=r"line 7: x: .*which may be \S+ or \S+; write it with a decimal point"):
        read(text)


@pytest.mark.parametrize(
    "text", ["", "x", "nan", "inf", "-inf", "1_000", "11", "-2", "0x1", "1e999", "1,2,3", "1.2.3", "1.23,4", ",", "1,"]
)
def test_what_is_no_number_in_bounds_is_named(text):
    with pytest.raises(DataDefect, match=r"table\.csv, line 7: x: expected a number from -1 to 10, found "):
        read(text, low=-1, high=10)


@given(st.floats(-1e6, 1e6), st.integers(0, 6))
def test_a_number_with_a_comma_is_that_with_a_point_or_refused(value, digits):
    text = f"{value:.{digits}f}"
    try:
        assert read(text.replace(".", ",")) == read(text)
    except DataDefect as error:
        assert digits == 3 and "which may be" in str(error)

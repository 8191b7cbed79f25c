from __future__ import annotations

import numpy as np
import pytest

from cxr_tasks.contracts.text_table import text_table


def test_text_left_numbers_right_header_aligned_with_its_column():
    table = text_table(["stage", "n", "auroc"], [["ingest", 1200, None], ["evaluate", 7, 0.951234]])
    assert table.splitlines() == [
        "stage        n   auroc",
        "--------  ----  ------",
        "ingest    1200       -",
        "evaluate     7  0.9512",
    ]


def test_a_row_stays_one_line_and_is_cut_at_the_width():
    last = text_table(["detail"], [["expected a picture\nfound " + "x" * 100]], max_width=30).splitlines()[-1]
    assert last == "expected a picture found xxxx…"[:29] + "…"
    assert len(last) == 30


def test_no_rows_leave_the_header():
    assert text_table(["a", "bb"], []).splitlines() == ["a  bb", "-  --"]


@pytest.mark.parametrize("row", [["train"], ["train", 1, 2]])
def test_a_row_of_another_length_is_named(row):
    with pytest.raises(ValueError, match=r"row 1: expected 2 values \(split, n\)"):
        text_table(["split", "n"], [["test", 3], row])


def test_numbers_of_numpy_are_numbers():
    assert text_table(["a"], [[np.int64(10000)], [np.float32(0.123456)]]).splitlines()[2:] == [" 10000", "0.1235"]

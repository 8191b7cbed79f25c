from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.records import QUARANTINE_COLUMNS
from cxr_tasks.ingest.quarantine import check_bound, describe_refusals, write_quarantine
from cxr_tasks.sources.base import Refusal


def make_refusal(name="train/NORMAL/x.jpeg", reason="blank"):
    return Refusal(image_id=name, reason=reason, detail="shows nothing, not even a rib", action="look at it")


def table(refusals):
    return pd.DataFrame([asdict(one) for one in refusals], columns=list(QUARANTINE_COLUMNS))


def test_table_has_the_contract_columns_sorted_by_file(tmp_path):
    write_quarantine(tmp_path / "q.csv", table([make_refusal("b.jpeg"), make_refusal("a, b.jpeg", "truncated")]))
    written = pd.read_csv(tmp_path / "q.csv")
    assert list(written.columns) == list(QUARANTINE_COLUMNS)
    assert written["image_id"].tolist() == ["a, b.jpeg", "b.jpeg"]
    assert written["reason"].tolist() == ["truncated", "blank"]


def test_no_refusals_leave_a_table_with_columns_only(tmp_path):
    write_quarantine(tmp_path / "q.csv", table([]))
    assert pd.read_csv(tmp_path / "q.csv").shape == (0, len(QUARANTINE_COLUMNS))


@pytest.mark.parametrize(
    ("n_refused", "n_usable", "bound"),
    [
        (0, 1, 0.0),  # nothing refused
        (5, 95, 0.05),  # exactly at the bound
    ],
)
def test_up_to_the_bound_is_accepted(n_refused, n_usable, bound):
    check_bound(table([make_refusal()] * n_refused), n_usable=n_usable, bound=bound, quarantine=Path("q.csv"))


def test_beyond_the_bound_is_a_defect_with_counts_by_reason():
    refusals = [make_refusal()] * 4 + [make_refusal("y.jpeg", "truncated")] * 2
    with pytest.raises(DataDefect) as caught:
        check_bound(table(refusals), n_usable=94, bound=0.05, quarantine=Path("run/q.csv"))
    text = str(caught.value)
    assert "6 of 100 files (6.0%) cannot be used, at most 5.0% expected" in text
    assert "run/q.csv" in text
    assert "blank          4" in text
    assert "truncated      2" in text


def test_no_usable_file_is_a_defect_whatever_the_bound():
    with pytest.raises(DataDefect, match="1 of 1 files"):
        check_bound(table([make_refusal()]), n_usable=0, bound=1.0, quarantine=Path("q.csv"))


def test_description_is_bounded():
    text = describe_refusals(table([make_refusal(f"{number:04d}.jpeg") for number in range(500)]))
    assert "... and 480 more" in text
    assert len(text.splitlines()) < 40


def test_absent_files_are_for_the_source_to_bound():
    refusals = table([make_refusal(reason="absent")] * 90 + [make_refusal()] * 5)
    check_bound(refusals, n_usable=95, bound=0.05, quarantine=Path("q.csv"))
    with pytest.raises(DataDefect, match="5 of 99 files"):
        check_bound(refusals, n_usable=94, bound=0.05, quarantine=Path("q.csv"))


def test_a_source_with_absent_files_only_is_a_defect():
    with pytest.raises(DataDefect, match="no file is there of 3 that the source lists"):
        check_bound(table([make_refusal(reason="absent")] * 3), n_usable=0, bound=1.0, quarantine=Path("q.csv"))


def test_a_file_name_is_no_formula_in_the_quarantine_table(tmp_path):
    names = ["=cmd|' /C calc'!A0.png", "a;=1+1.png", "@SUM(1).png", "-1.png", "plain.png"]
    rows = pd.DataFrame({name: names if name == "image_id" else "x" for name in QUARANTINE_COLUMNS})
    write_quarantine(tmp_path / "quarantine.csv", rows)
    lines = (tmp_path / "quarantine.csv").read_text().splitlines()
    assert len(lines) == len(names) + 1
    assert not any(cell.startswith(("=", "@", "-", "+")) for line in lines for cell in line.replace('"', "").split(","))
    assert '"a;=1+1.png"' in (tmp_path / "quarantine.csv").read_text()

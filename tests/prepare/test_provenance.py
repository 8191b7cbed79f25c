"""What a dataset tells of its making."""

from __future__ import annotations

import pytest

from cxr_tasks.prepare.provenance import quarantine_counts


@pytest.mark.parametrize(
    ("rows", "counts"),
    [
        ("", {}),
        ("a,blank,,\nb,truncated,,\nc,truncated,,\n", {"truncated": 2, "blank": 1}),
        ('"a\nb",blank,"x, y",\n', {"blank": 1}),  # a name with a line break
    ],
)
def test_quarantine_is_counted_by_reason(tmp_path, rows, counts):
    path = tmp_path / "quarantine.csv"
    path.write_text(f"image_id,reason,detail,action\n{rows}")
    assert list(quarantine_counts(path).items()) == list(counts.items())


def test_without_a_table_nothing_is_claimed(tmp_path):
    assert quarantine_counts(tmp_path / "quarantine.csv") is None

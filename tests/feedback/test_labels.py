"""Tables of labels as people have them: from a spreadsheet of any country, or refused with what to do."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.feedback.labels import read_labels
from tests.image_files import encoded, smooth

FINDINGS = ("pneumonia", "pleural_effusion")
NOW = datetime(2026, 4, 1, tzinfo=UTC)
HASHES = ["0123456789abcdef" * 2, "fedcba9876543210" * 2]
HEADER = ["pixel_hash", "finding", "label", "who", "when", "patient"]
ROWS = [
    [HASHES[0], "pneumonia", "positive", "Dr Ångström; ward 3", "2026-03-05T14:30", "P1"],
    [HASHES[1], "pleural_effusion", "negative", "reader B", "2026-03-25T09:05", "P2"],
]


def written(path: Path, rows: list[list[str]], mark=",", end="\n", encoding="utf-8", first="") -> Path:
    lines = [mark.join(f'"{cell}"' if set(cell) & set(f"{mark},;") else cell for cell in row) for row in rows]
    path.write_bytes((first + end.join([*lines, ""])).encode(encoding))
    return path


def said(labels: pd.DataFrame) -> list[list]:
    """All but the digest of the file."""
    return labels.drop(columns="file_sha256").to_numpy().tolist()


@pytest.fixture
def expected(cxr_home, tmp_path) -> list[list]:
    return said(read_labels(written(tmp_path / "plain.csv", [HEADER, *ROWS]), FINDINGS, NOW))


@pytest.mark.parametrize(
    "form",
    [
        {"mark": ";", "end": "\r\n", "encoding": "utf-8-sig"},
        {"mark": "\t", "end": "\r\n", "encoding": "utf-16"},
        {"mark": ";", "encoding": "utf-16-be"},
        {"mark": ";", "first": "sep=;\r\n"},
        {"mark": "|", "end": "\r"},
    ],
)
def test_a_spreadsheet_s_table_says_what_the_plain_one_says(expected, tmp_path, form):
    assert said(read_labels(written(tmp_path / "a.csv", [HEADER, *ROWS], **form), FINDINGS, NOW)) == expected


@pytest.mark.parametrize(
    "times",
    [
        ("05.03.2026 14:30", "25.03.2026 9:05"),
        ("5/3/2026 14:30", "25/3/2026 9:05"),
        ("3/5/2026 2:30 PM", "3/25/2026 9:05 am"),
    ],
)
@pytest.mark.parametrize("words", [("Positive", "NEGATIVE"), ("1", "0"), ("1,0", "0,0")])
def test_dates_and_words_of_a_spreadsheet_are_read(expected, tmp_path, times, words):
    names = ["Pixel Hash", "Finding", "Label", "Who", "When", "Patient"]
    findings = ("Pneumonia", "Pleural Effusion")
    rows = [
        [one[0], finding, word, one[3], time, one[5]]
        for one, finding, word, time in zip(ROWS, findings, words, times, strict=True)
    ]
    path = written(tmp_path / "a.csv", [names, *rows], ";", "\r\n", "utf-8-sig")
    assert said(read_labels(path, FINDINGS, NOW)) == expected


@pytest.mark.parametrize(
    ("column", "cell", "told"),
    [
        ("when", "3/5/2026", "when: '3/5/2026' may be day/month or month/day.*2026-11-29T14:30"),
        ("when", "46086,604", "format the column as a date"),
        ("when", "2026-04-01T01:00", "has been, now it is 2026-04-01T00:00 UTC; a time without a zone is taken as UTC"),
        ("label", "", "expected positive, negative or uncertain, or 1, 0 or -1"),
        ("label", "unmentioned", "expected positive, negative or uncertain"),
        ("label", "1,000", "expected positive, negative or uncertain"),
        ("finding", "pneumonai", "did you mean 'pneumonia'"),
        ("pixel_hash", "1,23457E+31", "a spreadsheet's number: format the column as text"),
    ],
)
def test_what_may_mean_two_things_is_refused_with_line_and_what_to_write(cxr_home, tmp_path, column, cell, told):
    row = [cell if name == column else one for name, one in zip(HEADER, ROWS[0], strict=True)]
    with pytest.raises(DataDefect, match=rf"a\.csv, line 2: .*{told}"):
        read_labels(written(tmp_path / "a.csv", [HEADER, row], ";"), FINDINGS, NOW)


def test_dates_of_both_orders_are_refused_where_a_third_may_be_either(cxr_home, tmp_path):
    rows = [[*ROWS[0][:4], time, ""] for time in ("13/3/2026", "3/14/2026", "3/5/2026")]
    with pytest.raises(DataDefect, match="line 4: when: '13/3/2026' has the day first and '3/14/2026' the month"):
        read_labels(written(tmp_path / "a.csv", [HEADER, *rows]), FINDINGS, NOW)


def test_no_message_holds_a_name_that_stands_in_place_of_a_hash_or_a_file(cxr_home, tmp_path):
    for name in ("pixel_hash", "request_id", "file"):
        path = written(tmp_path / "a.csv", [[name, *HEADER[1:]], ["Jane Doe 1950.png", *ROWS[0][1:]]])
        with pytest.raises(DataDefect, match=rf"line 2: {name}: ") as caught:
            read_labels(path, FINDINGS, NOW)
        assert "Jane" not in str(caught.value)


def test_a_file_below_a_folder_is_found_by_the_path_of_another_system(cxr_home, tmp_path):
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "a.png").write_bytes(encoded(smooth(120, 90, seed=5), "PNG"))
    path = written(tmp_path / "a.csv", [["file", *HEADER[1:]], ["scans\\a.png", *ROWS[0][1:]]], ";")
    (found,) = read_labels(path, FINDINGS, NOW)["pixel_hash"]
    assert len(found) == 32

from __future__ import annotations

import csv
import io

import pytest

from cxr_tasks.contracts.plain_text import plain_markdown, spreadsheet_cell, without_controls, write_spreadsheet
from cxr_tasks.contracts.text_table import text_table


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("person1_virus_6.jpeg", "person1_virus_6.jpeg"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b[2J\x07", "\\x1b[2J\\x07"),
        ("\x9b31m", "\\x9b31m"),  # the escape sequence in one character
        ("a\rb", "a\\rb"),  # would overwrite what stands before it
        ("exe.\u202egnp", "exe.\\u202egnp"),
        ("Röntgen 胸部 📷", "Röntgen 胸部 📷"),
    ],
)
def test_control_characters_are_shown_by_their_codes(text, shown):
    assert without_controls(text) == shown


def test_a_text_table_has_no_control_character_of_a_file_name():
    assert "\x1b" not in text_table(["file"], [["a\x1b]0;title\x07.png"]])


@pytest.mark.parametrize(
    "text",
    ["[a](javascript:x)", "![a](http://a.example)", "`code`", "a | b", "<img src=x>", "line\n# heading", "~~gone~~"],
)
def test_markdown_shows_text_as_it_is(text):
    shown = plain_markdown(text)
    assert "\n" not in shown
    for special in "`[]|~<":
        # Each stands behind a backslash, or as an entity.
        assert all(shown[place - 1] == "\\" for place, one in enumerate(shown) if one == special)


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\uff1d"])
def test_a_spreadsheet_takes_no_text_for_a_formula(begin):
    assert spreadsheet_cell(f"{begin}1+1") == f"'{begin}1+1"


def test_numbers_and_ordinary_text_stay_what_they_are():
    assert [spreadsheet_cell(one) for one in (-1.5, 0, None, "a=b", "00000001_000.png")] == [
        -1.5, 0, None, "a=b", "00000001_000.png",
    ]  # fmt: skip


def test_a_spreadsheet_reads_every_value_as_one_cell():
    stream = io.StringIO()
    rows = [["a;=1+1", 'say "no"'], ["two\nlines", "a,b"]]
    write_spreadsheet(stream, ("file", "reason"), rows)
    stream.seek(0)
    assert list(csv.reader(stream)) == [["file", "reason"], *rows]
    assert '"a;=1+1"' in stream.getvalue()

from __future__ import annotations

import io

import pytest
from rich.table import Table

from cxr_tasks.cli.console import PlainConsole


@pytest.fixture
def printed():
    """``printed(*what)``: what a terminal of 200 columns gets."""

    def of(*what, **options):
        stream = io.StringIO()
        PlainConsole(file=stream, width=200, force_terminal=True).print(*what, **options)
        return stream.getvalue()

    return of


@pytest.mark.parametrize("text", ["[/]", "[red]x[/red]", "[link=http://a.example]x[/link]", ":smile:", "a [b] c"])
def test_text_is_no_markup(printed, text):
    assert text in printed(text)
    table = Table("reason")
    table.add_row(text)
    assert text in printed(table)


def test_no_escape_sequence_of_a_name_reaches_the_terminal(printed):
    table = Table("file")
    table.add_row("a\x1b]0;title\x07\x1b[8m.png")
    for shown in (printed(table), printed("a\x1b[8m.png", style="red")):
        assert "\x1b[8m" not in shown and "\x1b]0" not in shown
        assert "\\x1b[8m.png" in shown

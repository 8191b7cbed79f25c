from __future__ import annotations

import io

import pytest
from rich.table import Table
from rich.text import Text

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


def test_nor_one_in_a_text_with_a_style(printed):
    """As 'cxr doctor' prints what the registry says of who let a version serve."""
    for said in (Text("by \x1b[8mE.\x9b2J", style="red"), Text.assemble(("OK", "green"), " by \x1b[8mE.\x9b2J")):
        table = Table("why")
        table.add_row(said)
        for shown in (printed(said), printed(table)):
            assert "\x1b[8m" not in shown and "\x9b" not in shown
        assert "by \\x1b[8mE.\\x9b2J" in printed(said)

"""Other people's text, made to be only text where it is shown: in Markdown, in a terminal, in a spreadsheet.

Labels, file names, tags and reasons come from data and from people. HTML pages escape them by their templates.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from csv import QUOTE_ALL, writer
from typing import IO

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_MARKDOWN = re.compile(r"([\\`*\[\]|~])")
#: What a spreadsheet may take for the beginning of a formula, full-width forms included (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def without_controls(text: str) -> str:
    r"""``text`` with control characters as their codes; line breaks and tabs stay.

    Escape sequences rewrite what stands in a terminal, and marks of direction show a file name in another order.

    >>> without_controls("\x1b[2Jname\u202egnp.exe")
    '\\x1b[2Jname\\u202egnp.exe'
    """
    return _CONTROLS.sub(lambda control: control.group().encode("unicode_escape").decode("ascii"), text)


def plain_markdown(text: str) -> str:
    """``text`` on one line so that Markdown shows it as it is: no link, picture, code, table or HTML comes of it.

    >>> plain_markdown("![x](http://a.example/p) | <b>")
    '!\\\\[x\\\\](http://a.example/p) \\\\| &lt;b&gt;'
    """
    escaped = _MARKDOWN.sub(r"\\\1", " ".join(without_controls(text).split()))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def spreadsheet_cell(value: object) -> object:
    """``value``; text that a spreadsheet would take for a formula gets an apostrophe before it, and so stays text.

    >>> spreadsheet_cell("=HYPERLINK(1)"), spreadsheet_cell("person1.jpeg"), spreadsheet_cell(-3)
    ("'=HYPERLINK(1)", 'person1.jpeg', -3)
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def write_spreadsheet(stream: IO[str], header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """A CSV table that people open in a spreadsheet. Every value is quoted: a ``;`` begins no new cell anywhere.

    Args:
        stream: Open for text, with ``newline=""``.
    """
    table = writer(stream, lineterminator="\n", quoting=QUOTE_ALL)
    table.writerow(header)
    table.writerows([spreadsheet_cell(value) for value in row] for row in rows)

"""Where commands print: text is shown as it is, whoever wrote it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from cxr_tasks.contracts.plain_text import without_controls


class PlainConsole(Console):
    """A console that takes no text for markup, emoji codes or commands to the terminal.

    Names of recipes and files, reasons and labels are other people's: ``[/]`` in one would end the command with an
    error, ``[link=...]`` lead elsewhere, and an escape sequence change the terminal or what stands in it.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"highlight": False, "markup": False, "emoji": False} | options)

    def render_str(self, text: str, **options: Any) -> Text:  # type: ignore[override]
        """``text`` with control characters shown by their codes, before lines and columns are measured."""
        return super().render_str(without_controls(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """The same for what was made a ``Text`` before; all that is printed comes by here."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(without_controls(segment.text), segment.style)


def wide_console(**options: Any) -> PlainConsole:
    """As wide as the terminal; in a file or a pipe, wide enough that nothing is cut."""
    return PlainConsole(**({} if sys.stdout.isatty() else {"width": 200}) | options)

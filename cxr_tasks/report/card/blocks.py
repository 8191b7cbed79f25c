"""What a card is made of, and its two forms: Markdown and HTML say the same, in the same order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from cxr_tasks.contracts.plain_text import plain_markdown
from cxr_tasks.report.pages import environment, stylesheet

#: In a cell where there is nothing to say.
NOTHING = "–"


@dataclass(frozen=True, slots=True)
class Text:
    kind: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True, slots=True)
class Bullets:
    kind: ClassVar[str] = "bullets"
    lines: Sequence[str]


@dataclass(frozen=True, slots=True)
class Grid:
    """A table; all cells are text."""

    kind: ClassVar[str] = "grid"
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Code:
    kind: ClassVar[str] = "code"
    text: str


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    blocks: Sequence[Text | Bullets | Grid | Code]


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    title: str
    subtitle: str
    sections: Sequence[Section]


def as_markdown(card: Card) -> str:
    return "\n\n".join([_head(card), *map(_section, card.sections)]) + "\n"


def shortened_markdown(card: Card, limit: int, rest: str) -> str:
    """As many whole sections from the first on as fit into ``limit`` characters; ``rest`` says where the others are."""
    whole = as_markdown(card)
    if len(whole) <= limit:
        return whole
    parts = [_head(card)]
    for section in map(_section, card.sections):
        if len("\n\n".join([*parts, section, rest])) > limit:
            break
        parts.append(section)
    return "\n\n".join([*parts, rest])[:limit]


def as_html(card: Card) -> str:
    """One self-contained page, everything escaped."""
    return environment().get_template("card.html.j2").render(card=card, css=stylesheet())


def _head(card: Card) -> str:
    return f"# {plain_markdown(card.title)}\n\n{plain_markdown(card.subtitle)}"


def _section(section: Section) -> str:
    return "\n\n".join([f"## {plain_markdown(section.title)}", *map(_block, section.blocks)])


def _block(block: Text | Bullets | Grid | Code) -> str:
    if isinstance(block, Text):
        return plain_markdown(block.text)
    if isinstance(block, Bullets):
        return "\n".join(f"- {plain_markdown(line)}" for line in block.lines)
    if isinstance(block, Code):
        longest = max((len(ticks) for ticks in re.findall("`+", block.text)), default=0)
        fence = "`" * max(3, longest + 1)
        return f"{fence}\n{block.text}\n{fence}"
    rows = [block.head, ["---"] * len(block.head), *block.rows]
    table = "\n".join("| " + " | ".join(plain_markdown(cell) for cell in row) + " |" for row in rows)
    return f"{plain_markdown(block.caption)}\n\n{table}" if block.caption else table

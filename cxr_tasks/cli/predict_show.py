"""How ``cxr predict`` prints: a table for people, JSON or CSV for programs, both as the answers come."""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rich.table import Table

from cxr_tasks.cli.console import PlainConsole
from cxr_tasks.contracts.labels import display_name
from cxr_tasks.contracts.plain_text import spreadsheet_cell
from serving.client import Answer, Refused

UNUSUAL = "unusual for this model: unlike what it was trained on, do not rely on it"
CSV_COLUMNS = (
    "file",
    "model",
    "version",
    "finding",
    "probability",
    "decision",
    "typicality",
    "is_unusual",
    "note",
    "error",
)


@dataclass(frozen=True, slots=True)
class Row:
    """What one model says of one image."""

    file: str
    model: str
    answer: Answer | Refused
    files: tuple[str, ...] = ()
    """What was written of it: pictures with heat maps, DICOM objects."""
    cautions: tuple[str, ...] = ()
    """What the model was trained without, as far as the image's header tells."""

    def as_json(self) -> dict[str, Any]:
        answer = self.answer if isinstance(self.answer, Answer) else None
        return {
            "file": self.file,
            "model": self.model,
            "version": answer and answer.version,
            "findings": [
                {"finding": finding, "probability": probability, "decision": decision}
                for finding, probability, decision in findings_of(self.answer)
            ],
            "typicality": answer and answer.typicality,
            "is_unusual": answer and answer.is_unusual,
            "error": None if answer else self.answer.reason,  # type: ignore[union-attr]
            "note": answer.note if answer else "",
            "cautions": list(self.cautions),
            "files": list(self.files),
        }


class Printer(Protocol):
    def add(self, row: Row) -> None:
        """Print ``row``, or keep it for the end."""


def findings_of(answer: Answer | Refused) -> Iterator[tuple[str, float, bool]]:
    if isinstance(answer, Answer):
        yield from zip(answer.labels, answer.probabilities, answer.decisions, strict=True)


def printer_of(options: argparse.Namespace) -> AbstractContextManager[Printer]:
    return _Json() if options.json else _Csv() if options.csv else _Table()


class _Printer:
    """Errors and what is to be known go to stderr in every form."""

    def __init__(self) -> None:
        self._errors = PlainConsole(stderr=True, soft_wrap=True)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *failure: object) -> None:
        """End what was begun, so that a reader finds it whole although the server has gone."""

    def _remark(self, row: Row) -> None:
        if isinstance(row.answer, Refused):
            self._errors.print(f"{row.file}: {row.answer.reason}", style="red", soft_wrap=True)
            return
        if row.answer.note:
            self._errors.print(f"{row.file}: {row.answer.note}", style="yellow", soft_wrap=True)
        if row.answer.is_unusual:
            self._errors.print(f"{row.file}: {row.model}: {UNUSUAL}", style="yellow", soft_wrap=True)
        for caution in row.cautions:
            self._errors.print(f"{row.file}: {row.model}: rely less on it: {caution}", style="yellow", soft_wrap=True)


class _Table(_Printer):
    def __init__(self) -> None:
        super().__init__()
        self._rows: list[Row] = []

    def add(self, row: Row) -> None:
        self._remark(row)
        if isinstance(row.answer, Answer):
            self._rows.append(row)

    def __exit__(self, *failure: object) -> None:
        if not self._rows:
            return
        several = len({row.model for row in self._rows}) > 1
        typical = any(getattr(row.answer, "typicality", None) is not None for row in self._rows)
        table = Table(box=None, pad_edge=False)
        for name, is_there in (("file", True), ("model", several), ("finding", True)):
            if is_there:
                table.add_column(name)
        table.add_column("probability", justify="right")
        table.add_column("decision")
        if typical:
            table.add_column("typicality", justify="right")
        for row in self._rows:
            for finding, probability, decision in findings_of(row.answer):
                cells = [Path(row.file).name or row.file, *([row.model] if several else []), display_name(finding)]
                cells += [f"{probability:.3f}", "positive" if decision else "negative"]
                table.add_row(*cells, *([_typicality(row.answer)] if typical else []))
        console = PlainConsole()
        console.print(table)
        for row in self._rows:
            for file in row.files:
                console.print(f"written: {file}", style="dim", soft_wrap=True)
        console.print("Research use only; not a medical device.", style="dim")


class _Json(_Printer):
    """A JSON array, an element at a time."""

    def __init__(self) -> None:
        super().__init__()
        self._n_printed = 0

    def add(self, row: Row) -> None:
        self._remark(row)
        text = json.dumps(row.as_json(), indent=2).replace("\n", "\n  ")
        sys.stdout.write(f"{',' if self._n_printed else '['}\n  {text}")
        self._n_printed += 1

    def __exit__(self, *failure: object) -> None:
        sys.stdout.write("\n]\n" if self._n_printed else "[]\n")
        sys.stdout.flush()


class _Csv(_Printer):
    """For spreadsheets: every value quoted, and none taken for a formula."""

    def __init__(self) -> None:
        super().__init__()
        self._table = csv.writer(sys.stdout, lineterminator="\n", quoting=csv.QUOTE_ALL)
        self._table.writerow(CSV_COLUMNS)

    def add(self, row: Row) -> None:
        self._remark(row)
        told = row.as_json()
        for finding in told["findings"] or [{}]:
            values = {**told, **finding}
            cells = ("" if values.get(name) is None else values[name] for name in CSV_COLUMNS)
            self._table.writerow([spreadsheet_cell(str(cell) if isinstance(cell, bool) else cell) for cell in cells])


def _typicality(answer: Answer | Refused) -> str:
    value = getattr(answer, "typicality", None)
    if value is None:
        return ""
    return f"{value:.3f}" + (" unusual" if getattr(answer, "is_unusual", False) else "")


class Progress:
    """How far it is, on stderr: in place on a terminal, else a line now and then."""

    def __init__(self, *, is_shown: bool, n_items: int | None = None) -> None:
        """``n_items``: how many there are, where it is known."""
        self._is_shown, self._in_place = is_shown, sys.stderr.isatty()
        self._every_s = 0.2 if self._in_place else 10.0
        self._of = "" if n_items is None else f" of {n_items}"
        self._n_done, self._begun = 0, time.monotonic()
        self._told = self._begun
        self._n_at_begin: int | None = None
        self._stands = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *failure: object) -> None:
        self.clear()

    def clear(self) -> None:
        """Take the line away, before another is printed."""
        if self._stands:
            sys.stderr.write("\r\x1b[K")
            self._stands = False

    def add(self, n_done: int = 1) -> None:
        if self._n_at_begin is None:
            # What comes first at once was done by an earlier try, and says nothing of the rate.
            self._n_at_begin = n_done if n_done != 1 else 0
        self._n_done += n_done
        now = time.monotonic()
        if not self._is_shown or now - self._told < self._every_s:
            return
        self._told = now
        rate = (self._n_done - self._n_at_begin) / (now - self._begun)
        text = f"{self._n_done}{self._of} answered, {rate:.0f} a second"
        sys.stderr.write(f"\r\x1b[K{text}" if self._in_place else f"{text}\n")
        sys.stderr.flush()
        self._stands = self._in_place

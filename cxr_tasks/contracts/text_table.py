"""Plain text tables for task logs and terminals: aligned columns, numbers to the right."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Number, Real

from cxr_tasks.contracts.plain_text import without_controls


def text_table(header: Sequence[str], rows: Sequence[Sequence[object]], *, max_width: int = 60) -> str:
    """The rows under their header as aligned text, without a line break at the end.

    A column whose every value is a number (or empty) stands to the right. Floats are shown with four significant
    digits, ``None`` as ``-``. A longer text than ``max_width`` characters is cut and ends in ``…``; line breaks inside
    a value become spaces, so one row stays one line. Control characters are shown by their codes.

    Raises:
        ValueError: A row has not as many values as the header.

    >>> print(text_table(["split", "n"], [["train", 1000], ["test", 300]]))
    split     n
    -----  ----
    train  1000
    test    300
    """
    for number, row in enumerate(rows):
        if len(row) != len(header):
            raise ValueError(f"row {number}: expected {len(header)} values ({', '.join(header)}), found {len(row)}")
    cells = [[_shown(value, max_width) for value in row] for row in rows]
    widths = [max(len(name), *(len(row[i]) for row in cells), 0) for i, name in enumerate(header)]
    is_number = [bool(rows) and all(_is_number(row[i]) or row[i] is None for row in rows) for i in range(len(header))]
    lines = [list(header), ["-" * width for width in widths], *cells]
    return "\n".join(_line(line, widths, is_number) for line in lines)


def _line(values: Sequence[str], widths: Sequence[int], is_number: Sequence[bool]) -> str:
    padded = (
        value.rjust(width) if right else value.ljust(width)
        for value, width, right in zip(values, widths, is_number, strict=True)
    )
    return "  ".join(padded).rstrip()


def _is_number(value: object) -> bool:
    return isinstance(value, Number) and not isinstance(value, bool)


def _shown(value: object, max_width: int) -> str:
    if value is None:
        return "-"
    is_fraction = isinstance(value, Real) and not isinstance(value, Integral)
    text = f"{value:.4g}" if is_fraction else without_controls(" ".join(str(value).split()))
    return text if len(text) <= max_width else text[: max_width - 1] + "…"

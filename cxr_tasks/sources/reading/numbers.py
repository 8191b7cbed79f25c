"""Numbers in the cells of a table, with a decimal point or, as spreadsheets of many countries write, a comma."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

from cxr_tasks.sources.reading.defects import row_defect, shown

_SIGN, _EXPONENT = r"(?P<sign>[+-]?)", r"(?P<exponent>[eE][+-]?[0-9]+)?"
#: Either mark may part thousands, and then there are three digits after each; the other one is the decimal mark.
_POINT_IN_THOUSANDS = re.compile(rf"{_SIGN}(?P<whole>[0-9]{{1,3}}(?:\.[0-9]{{3}})+),(?P<part>[0-9]+){_EXPONENT}")
_COMMA_IN_THOUSANDS = re.compile(rf"{_SIGN}(?P<whole>[0-9]{{1,3}}(?:,[0-9]{{3}})+)\.(?P<part>[0-9]+){_EXPONENT}")
_DECIMAL_COMMA = re.compile(rf"{_SIGN}(?P<whole>[0-9]*),(?P<part>[0-9]+){_EXPONENT}")
_ONLY_THOUSANDS = re.compile(r"[+-]?[0-9]{1,3}(?:(?:,[0-9]{3}){2,}|(?:\.[0-9]{3}){2,})")
#: 1,500 is one and a half here and fifteen hundred there; 0,500 and 1234,500 can only be the first.
_EITHER = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}")


def number(
    path: Path, line: int, row: Mapping[str, str], column: str, *, low: float = -math.inf, high: float = math.inf
) -> float:
    """A cell as a finite number from ``low`` to ``high``; anything else, an empty cell too, is a ``DataDefect``.

    A comma is a decimal mark where it can be nothing else: ``1,5`` and ``1.234,5``. ``1,500`` is refused.
    """
    text = row[column]
    bounds = "" if (low, high) == (-math.inf, math.inf) else f" from {low:g} to {high:g}"
    if _EITHER.fullmatch(text):
        raise row_defect(
            path, line, f"{column}: expected a number{bounds}, found {shown(text)}, which may be "
            f"{text.replace(',', '.')} or {text.replace(',', '')}; write it with a decimal point or without a comma"
        )  # fmt: skip
    try:
        value = float(_with_point(text))
    except ValueError:
        value = math.nan
    # float() takes 1_000 as well, which no table means.
    if "_" in text or not math.isfinite(value) or not low <= value <= high:
        raise row_defect(path, line, f"{column}: expected a number{bounds}, found {shown(text)}")
    return value


def _with_point(text: str) -> str:
    if _ONLY_THOUSANDS.fullmatch(text):
        return re.sub("[.,]", "", text)
    for form in (_DECIMAL_COMMA, _POINT_IN_THOUSANDS, _COMMA_IN_THOUSANDS):
        if parts := form.fullmatch(text):
            whole = re.sub("[.,]", "", parts["whole"]) or "0"
            return f"{parts['sign']}{whole}.{parts['part']}{parts['exponent'] or ''}"
    return text

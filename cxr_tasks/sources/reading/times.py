"""Times in the cells of a table: ISO 8601, and as spreadsheets show them where that can mean one time only."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Literal

Order = Literal["day first", "month first"]
EXAMPLE = "2026-11-29T14:30"

_CLOCK = r"(?:,?[ T]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}))?(?:\s*(?P<half>[AaPp])\.?[Mm]\.?)?)?"
_YEAR_FIRST = re.compile(rf"(?P<year>\d{{4}})[/.](?P<month>\d{{1,2}})[/.](?P<day>\d{{1,2}}){_CLOCK}", re.ASCII)
#: 5.3.2026 is the fifth of March wherever dates have dots.
_DOTTED = re.compile(rf"(?P<day>\d{{1,2}})\. ?(?P<month>\d{{1,2}})\. ?(?P<year>\d{{4}}){_CLOCK}", re.ASCII)
_SLASHED = re.compile(rf"(?P<one>\d{{1,2}})([/-])(?P<other>\d{{1,2}})\2(?P<year>\d{{4}}){_CLOCK}", re.ASCII)
_NAMED = re.compile(rf"(?P<day>\d{{1,2}})[ -](?P<name>[A-Za-z]{{3,9}})[ -](?P<year>\d{{4}}){_CLOCK}", re.ASCII)
_SHORT_YEAR = re.compile(r"\d{1,2}([/. -])(\d{1,2}|[A-Za-z]{3,9})\1\d{2}\b.*", re.ASCII)
_DAY_NUMBER = re.compile(r"\d{5}([.,]\d+)?", re.ASCII)
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip


def time_of(text: str, order: Order | None = None) -> datetime:
    """The time that ``text`` says, with a zone where it has one.

    Args:
        order: Of day and month in the column, as :func:`order_of` finds it: ``3/5/2026`` alone can be two days.

    Raises:
        ValueError: It says none, or may say several; what was expected, and what is to be done.

    >>> time_of("5.3.2026 14:30"), time_of("3/25/2026 2:30 PM")
    (datetime.datetime(2026, 3, 5, 14, 30), datetime.datetime(2026, 3, 25, 14, 30))
    """
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass  # the forms below
    for form in (_YEAR_FIRST, _DOTTED, _NAMED):
        if match := form.fullmatch(text):
            parts = match.groupdict()
            month = _month(parts["name"]) if "name" in parts else int(parts["month"])
            return _made(text, int(parts["year"]), month, int(parts["day"]), parts)
    if match := _SLASHED.fullmatch(text):
        return _of_slashed(text, match, order)
    raise ValueError(f"expected a time such as {EXAMPLE}, found {text[:60]!r}{_about(text)}")


def order_of(texts: Iterable[str]) -> Order | None:
    """The order of day and month in a column, from dates that have it in one way only; None where none has.

    Raises:
        ValueError: One date has it one way and another the other way.
    """
    seen: dict[Order, str] = {}
    for text in texts:
        if (match := _SLASHED.fullmatch(text)) and (order := _own_order(match)):
            seen.setdefault(order, text)
            if len(seen) == 2:
                raise ValueError(
                    f"{seen['day first']!r} has the day first and {seen['month first']!r} the month; write times such "
                    f"as {EXAMPLE}"
                )
    return next(iter(seen), None)


def may_be_two(text: str) -> bool:
    """Whether ``text`` is a date that means another day where the month stands first."""
    match = _SLASHED.fullmatch(text)
    return match is not None and _own_order(match) is None and match["one"].lstrip("0") != match["other"].lstrip("0")


def _own_order(match: re.Match[str]) -> Order | None:
    if int(match["one"]) > 12:
        return "day first"
    return "month first" if int(match["other"]) > 12 else None


def _of_slashed(text: str, match: re.Match[str], order: Order | None) -> datetime:
    order = _own_order(match) or order
    if order is None and may_be_two(text):
        raise ValueError(
            f"{text!r} may be day/month or month/day, and no other row tells which; write times such as {EXAMPLE}"
        )
    day, month = (match["one"], match["other"]) if order == "day first" else (match["other"], match["one"])
    return _made(text, int(match["year"]), int(month), int(day), match.groupdict())


def _made(text: str, year: int, month: int, day: int, parts: dict[str, str | None]) -> datetime:
    hour, half = int(parts["hour"] or 0), (parts["half"] or "").lower()
    if half:
        # 12 stands for 0 on a clock of twelve hours; 13 PM is none of its times.
        hour = hour % 12 + 12 * (half == "p") if 1 <= hour <= 12 else -1
    try:
        return datetime(year, month, day, hour, int(parts["minute"] or 0), int(parts["second"] or 0))
    except ValueError:
        raise ValueError(f"expected a time such as {EXAMPLE}, found {text[:60]!r}, which is none") from None


def _month(name: str | None) -> int:
    """1 to 12 by an English name or at least its first three letters; 0 for others."""
    name = (name or "").lower()
    return next((number for number, month in enumerate(_MONTHS, 1) if name and month.startswith(name)), 0)


def _about(text: str) -> str:
    if _SHORT_YEAR.fullmatch(text):
        return "; write the year with four digits"
    if _DAY_NUMBER.fullmatch(text):
        return "; a spreadsheet's number of a day, which counts from 1900 or from 1904: format the column as a date"
    if text.startswith("####"):
        return "; the spreadsheet's column was too narrow to show it: widen it and save again"
    return ""

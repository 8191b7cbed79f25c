"""Ages as they are written in DICOM headers and in tables made from them."""

from __future__ import annotations

import math
import re

OLDEST_YEARS = 120
_FORM = re.compile(r"(?P<number>[0-9]{1,4})(?:\.0)?(?P<unit>[YMWD]?)", re.IGNORECASE)
_UNITS_PER_YEAR = {"": 1.0, "Y": 1.0, "M": 12.0, "W": 365.25 / 7, "D": 365.25}


def age_in_years(text: str) -> float:
    """``058Y``, ``018M``, ``003W``, ``003D``, or ``58`` in years; NaN for none and for more than anybody reaches.

    Raises:
        ValueError: Another form; without the name of what holds it.

    >>> age_in_years("018M"), age_in_years("81")
    (1.5, 81.0)
    """
    text = text.strip()
    if not text:
        return math.nan
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(f"expected years such as 58 or 058Y, or 012M, 003W, 003D, found {text[:60]!r}")
    years = int(match["number"]) / _UNITS_PER_YEAR[match["unit"].upper()]
    return years if years <= OLDEST_YEARS else math.nan

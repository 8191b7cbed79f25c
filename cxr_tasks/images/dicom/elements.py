"""Values of DICOM elements, whatever a file wrote into them: the first of several, stripped."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cxr_tasks.images.dicom.refused import DicomRefused, damaged

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def text(dataset: Dataset, keyword: str) -> str:
    """The element as text; '' where it is absent or empty."""
    value = dataset.get(keyword)
    # pydicom's list of several values, which may be imported only where a file is read.
    if hasattr(value, "__getitem__") and not isinstance(value, (str, bytes)):
        value = value[0] if len(value) else None
    return "" if value is None else str(value).strip(" \0\t\r\n")


def word(dataset: Dataset, keyword: str) -> str:
    """The element in capitals, as code strings (CS) are defined and not always written."""
    return text(dataset, keyword).upper()


def raw_text(dataset: Dataset, keyword: str) -> str | bytes | None:
    """The element as it stands in the file, where it has not been read yet: pydicom reads text in one charset only.

    Bytes of a file, text of a data set made in memory, None where it is absent or no text.
    """
    if keyword not in dataset:
        return None
    value = dataset.get_item(keyword).value
    if isinstance(value, (str, bytes)):
        return value
    # Several values that were read already.
    return None if value is None else "\\".join(map(str, value)) if hasattr(value, "__iter__") else str(value)


def numbers(dataset: Dataset, keyword: str) -> list[float]:
    """All values of a decimal string; NaN for each that is empty, not finite or no number.

    A decimal comma is read as the point that the standard asks for (PS3.5 6.2), as some countries' software writes it.
    """
    if keyword not in dataset:
        return []
    item = dataset.get_item(keyword)
    if isinstance(item.value, bytes) and item.VR not in {None, "DS", "IS", "UN"}:
        value = dataset[keyword].value  # binary numbers, against the standard
        return [_finite(str(part)) for part in (value if hasattr(value, "__iter__") else [value])]
    written = raw_text(dataset, keyword)
    if isinstance(written, bytes):
        written = written.decode("latin-1")
    return [_finite(part) for part in (written or "").split("\\")]


def number(dataset: Dataset, keyword: str) -> float:
    """The first of ``numbers``; NaN where there is none."""
    return next(iter(numbers(dataset, keyword)), math.nan)


def is_written(dataset: Dataset, keyword: str) -> bool:
    """Whether the element holds anything."""
    written = raw_text(dataset, keyword)
    if isinstance(written, bytes):
        return bool(written.strip(b" \0"))
    return bool(written and written.strip(" \0"))


def whole_number(dataset: Dataset, keyword: str, default: int | None = None) -> int:
    """The element as an integer; ``default``, where there is one, stands for an absent one.

    Raises:
        DicomRefused: It is absent or empty and has no default, or is no whole number.
    """
    try:
        value = dataset.get(keyword)
        if hasattr(value, "__getitem__") and not isinstance(value, (str, bytes)):
            value = value[0] if len(value) else None
        if value is None or value == "":
            if default is not None:
                return default
            raise damaged(f"{named(keyword)} is {'empty' if keyword in dataset else 'absent'}; a number was expected")
        if float(value) == int(value):
            return int(value)
    except (TypeError, ValueError, OverflowError):
        pass
    raise damaged(f"{named(keyword)} holds no whole number")


def named(keyword: str) -> str:
    """An element as a message names it.

    >>> named("HighBit")
    'HighBit (0028,0102)'
    """
    from pydicom.datadict import tag_for_keyword

    tag = tag_for_keyword(keyword) or 0
    return f"{keyword} ({tag >> 16:04X},{tag & 0xFFFF:04X})"


def refused_element(keyword: str, expected: str, found: str) -> DicomRefused:
    """A refusal of pixels in a form that is not read here, by the element that says so."""
    return DicomRefused(
        "unsupported_pixels", f"{named(keyword)}: expected {expected}, found {found}", "export it as such"
    )


def _finite(written: str) -> float:
    written = written.strip(" \0\t\r\n")
    if written.count(",") == 1 and "." not in written:
        written = written.replace(",", ".")
    try:
        value = float(written) if "_" not in written else math.nan
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan

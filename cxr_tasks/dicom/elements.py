"""Values of DICOM elements, whatever a file wrote into them: the first of several, stripped."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

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


def number(dataset: Dataset, keyword: str) -> float:
    """The element as a finite number; NaN where it is absent, empty or not finite."""
    written = text(dataset, keyword)
    value = float(written) if written else math.nan
    return value if math.isfinite(value) else math.nan

"""Which stored values only fill a picture up to a rectangle (PS3.3 C.7.5.1.1.2), and where in it they do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cxr_tasks.images.dicom.elements import whole_number
from cxr_tasks.images.dicom.refused import DicomRefused

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def padding_bounds(dataset: Dataset) -> tuple[int, int] | None:
    """Lowest and highest padding value in the sign of the pixels; None where the header names none.

    Some writers give the value in the other sign (63536 for -2000, -1 for 65535): the bits are the same, and the
    value that the pixels can hold is meant. One that they cannot hold in any way does not occur.
    """
    bits = whole_number(dataset, "BitsAllocated", 16)
    is_signed = bool(whole_number(dataset, "PixelRepresentation", 0))
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if is_signed else (0, (1 << bits) - 1)
    first, last = _value(dataset, "PixelPaddingValue"), _value(dataset, "PixelPaddingRangeLimit")
    if first is None:
        return None
    ends = [_in_sign(value, bits, low, high) for value in (first, first if last is None else last)]
    known = [end for end in ends if end is not None]
    return (min(known), max(known)) if known else None


def is_padding(dataset: Dataset, values: np.ndarray) -> np.ndarray:
    """Which values are padding; bool, as ``values``."""
    bounds = padding_bounds(dataset)
    if bounds is None:
        return np.zeros(values.shape, bool)
    return (values >= bounds[0]) & (values <= bounds[1])


def around_the_picture(is_padded: np.ndarray) -> np.ndarray:
    """Those of the pixels ``is_padded`` that hang together with a corner of the picture: bool ``(rows, columns)``.

    What fills a picture up to a rectangle has a corner of it; the same value amid the picture is anatomy, as where
    0 is both padding and the white of MONOCHROME1.
    """
    from scipy.ndimage import label

    parts, _ = label(is_padded)
    corners = {int(parts[row, column]) for row in (0, -1) for column in (0, -1)} - {0}
    return np.isin(parts, list(corners)) if corners else np.zeros(is_padded.shape, bool)


def _value(dataset: Dataset, keyword: str) -> int | None:
    if dataset.get(keyword) is None:
        return None
    try:
        return whole_number(dataset, keyword)
    except DicomRefused:
        # Nothing can be told of what is no number: no value is padding then.
        return None


def _in_sign(value: int, bits: int, low: int, high: int) -> int | None:
    for meant in (value, value - (1 << bits), value + (1 << bits), value - (1 << 16), value + (1 << 16)):
        if low <= meant <= high:
            return meant
    return None

"""From stored values to shown grey: the greyscale pipeline of DICOM as one table with an entry per stored value.

Modality LUT or rescale, then VOI LUT or window, then the inversion of MONOCHROME1 (PS3.4 N.2; formulas in PS3.3 C.11.1
and C.11.2). Stored values have at most 16 bits, so the table is exact and small, and a picture is one look-up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cxr_tasks.dicom.elements import number, word
from cxr_tasks.dicom.refused import damaged

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


@dataclass(frozen=True, slots=True)
class Stored:
    """How the values of a picture are stored, and which of them occur."""

    bits: int
    is_signed: bool
    low: int
    """Lowest value of the range that is shown where the header names no window."""
    high: int

    def values(self) -> np.ndarray:
        """int64 ``(2 ** bits,)``: the value that each pattern of bits stands for."""
        patterns = np.arange(1 << self.bits, dtype=np.int64)
        half = 1 << (self.bits - 1)
        return np.where(patterns >= half, patterns - 2 * half, patterns) if self.is_signed else patterns


def grey_table(dataset: Dataset, stored: Stored) -> np.ndarray:
    """Grey in [0, 1], 1 is white, of every pattern of stored bits: float64 ``(2 ** stored.bits,)``; padding is black.

    Without VOI LUT and usable window the range ``stored.low`` to ``stored.high`` is shown.

    Raises:
        DicomRefused: A table or number in the header makes no sense.
    """
    values = stored.values()
    output, low, high = _after_modality(dataset, values, stored)
    grey = _after_voi(dataset, output, low, high)
    if (
        word(dataset, "PhotometricInterpretation") == "MONOCHROME1"
        or word(dataset, "PresentationLUTShape") == "INVERSE"
    ):
        grey = 1.0 - grey
    # Around the picture, as collimation is: not part of what was seen.
    grey[is_padding(dataset, values)] = 0.0
    return grey


def is_padding(dataset: Dataset, values: np.ndarray) -> np.ndarray:
    """Which stored values only fill the picture up to a rectangle (PS3.3 C.7.5.1.1.2); bool, as ``values``."""
    first = dataset.get("PixelPaddingValue")
    if first is None:
        return np.zeros(values.shape, bool)
    last = dataset.get("PixelPaddingRangeLimit")
    bounds = sorted((int(first), int(first if last is None else last)))
    return (values >= bounds[0]) & (values <= bounds[1])


def _after_modality(dataset: Dataset, values: np.ndarray, stored: Stored) -> tuple[np.ndarray, float, float]:
    """Values after the modality LUT or rescale, and the ends of their range."""
    if dataset.get("ModalityLUTSequence"):
        entries, first, bits = _lookup_table(dataset, "ModalityLUTSequence", is_signed=stored.is_signed)
        return _looked_up(values, entries, first), 0.0, float((1 << bits) - 1)
    slope, intercept = number(dataset, "RescaleSlope"), number(dataset, "RescaleIntercept")
    if math.isnan(slope) or math.isnan(intercept):
        return values.astype(np.float64), float(stored.low), float(stored.high)
    if slope == 0:
        raise damaged("its rescale slope is 0")
    ends = sorted((stored.low * slope + intercept, stored.high * slope + intercept))
    return values * slope + intercept, ends[0], ends[1]


def _after_voi(dataset: Dataset, output: np.ndarray, low: float, high: float) -> np.ndarray:
    if dataset.get("VOILUTSequence"):
        entries, first, bits = _lookup_table(dataset, "VOILUTSequence", is_signed=low < 0)
        return np.minimum(_looked_up(output, entries, first) / ((1 << bits) - 1), 1.0)
    center, width = number(dataset, "WindowCenter"), number(dataset, "WindowWidth")
    function = word(dataset, "VOILUTFunction") or "LINEAR"
    if not math.isnan(center) and width >= (1.0 if function == "LINEAR" else np.finfo(float).tiny):
        return window(output, center, width, function)
    return np.clip((output - low) / (high - low), 0.0, 1.0)


def window(values: np.ndarray, center: float, width: float, function: str = "LINEAR") -> np.ndarray:
    """Grey in [0, 1] through a window (PS3.3 C.11.2.1.2 and C.11.2.1.3).

    Args:
        function: ``LINEAR``, ``LINEAR_EXACT`` or ``SIGMOID``; the first, where it is another word.

    >>> window(np.array([0.0, 2047.5, 4095.0]), center=2048, width=4096)
    array([0. , 0.5, 1. ])
    """
    if function == "SIGMOID":
        # Where exp() would overflow, the grey is 0 to the last digit anyway.
        return 1.0 / (1.0 + np.exp(np.minimum(-4.0 * (values - center) / width, 700.0)))
    if function == "LINEAR_EXACT":
        return np.clip((values - center) / width + 0.5, 0.0, 1.0)
    if width == 1.0:
        return (values > center - 0.5).astype(np.float64)
    return np.clip((values - (center - 0.5)) / (width - 1.0) + 0.5, 0.0, 1.0)


def _lookup_table(dataset: Dataset, sequence: str, *, is_signed: bool) -> tuple[np.ndarray, int, int]:
    """Entries, first value mapped, and bits of an entry, of the first table of a sequence.

    Not pydicom's ``apply_voi_lut``: that wraps values over 255 around where entries have 8 bits.
    """
    item = dataset[sequence].value[0]
    n_entries, first, bits = (int(value) for value in item.LUTDescriptor)
    # Unsigned whatever pydicom took them for, and 0 where the number does not fit; but the first value mapped is
    # signed where the table's input is.
    n_entries = n_entries % (1 << 16) or 1 << 16
    first %= 1 << 16
    if is_signed and first >= 1 << 15:
        first -= 1 << 16
    entries = _entries(item.LUTData, n_entries, is_little_endian=bool(dataset.original_encoding[1]))
    if not 1 <= bits <= 16 or len(entries) != n_entries:
        raise damaged(f"a look-up table should have {n_entries} entries, found {len(entries)}, of {bits} bits")
    return entries, first, bits


def _entries(data, n_entries: int, *, is_little_endian: bool) -> np.ndarray:
    """LUT data as int64: a list of numbers, or bytes with one or two of them per entry."""
    if not isinstance(data, bytes):
        return np.atleast_1d(np.asarray(data, dtype=np.int64)) & 0xFFFF
    if len(data) in {n_entries, n_entries + 1}:
        return np.frombuffer(data, np.uint8, n_entries).astype(np.int64)
    return np.frombuffer(data, "<u2" if is_little_endian else ">u2").astype(np.int64)


def _looked_up(values: np.ndarray, entries: np.ndarray, first: int) -> np.ndarray:
    places = np.clip(np.rint(values).astype(np.int64) - first, 0, len(entries) - 1)
    return entries[places].astype(np.float64)

"""From stored values to shown grey: the greyscale pipeline of DICOM as one table with an entry per stored value.

Modality LUT or rescale, then VOI LUT or window, then the inversion of MONOCHROME1 (PS3.4 N.2; formulas in PS3.3 C.11.1
and C.11.2). Stored values have at most 16 bits, so the table is exact and small, and a picture is one look-up.

What a header says of the range holds as long as it is about these values; see ``cxr_tasks.images.dicom.ranges``.

Not pydicom's ``apply_modality_lut`` and ``apply_voi_lut``: on well-formed headers they give the same, yet a VOI LUT of
8 bits wraps greater values around, a first value mapped above the entries' type or below 0 and a table with a byte per
entry raise an ``OverflowError`` or ``struct.error``, and so do numbers with a decimal comma or a function that is
written and empty. All of these lie in files of hospitals, and tests hold what is shown for them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from cxr_tasks.images.dicom.elements import is_written, named, number, numbers, word
from cxr_tasks.images.dicom.padding import is_padding
from cxr_tasks.images.dicom.ranges import LEAST_OF_USED, Shown, is_far
from cxr_tasks.images.dicom.refused import damaged
from cxr_tasks.images.grey_range import white_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["Stored", "grey_table", "is_padding", "window"]


@dataclass(frozen=True, slots=True)
class Stored:
    """How the values of a picture are stored, and which of them occur."""

    bits: int
    is_signed: bool
    low: int
    """Lowest value of the range that is shown where the header names no window."""
    high: int
    counts: np.ndarray | None = field(default=None, compare=False)
    """int ``(2 ** bits,)``: pixels of each pattern that are not padding, where that is known."""

    def values(self) -> np.ndarray:
        """int64 ``(2 ** bits,)``: the value that each pattern of bits stands for."""
        patterns = np.arange(1 << self.bits, dtype=np.int64)
        half = 1 << (self.bits - 1)
        return np.where(patterns >= half, patterns - 2 * half, patterns) if self.is_signed else patterns


def grey_table(dataset: Dataset, stored: Stored, *, padding_is_black: bool = True) -> np.ndarray:
    """Grey in [0, 1], 1 is white, of every pattern of stored bits: float64 ``(2 ** stored.bits,)``.

    The first VOI LUT, or else window, that is about these values shows them; without one the range ``stored.low`` to
    ``stored.high`` is shown.

    Args:
        padding_is_black: Values that are padding are black, whatever the pipeline makes of them.

    Raises:
        DicomRefused: A table or number in the header makes no sense.
    """
    values = stored.values()
    output, low, high = _after_modality(dataset, values, stored)
    is_inverted = (
        word(dataset, "PhotometricInterpretation") == "MONOCHROME1"
        or word(dataset, "PresentationLUTShape") == "INVERSE"
    )
    grey = _after_voi(dataset, output, low, high, stored, is_inverted=is_inverted)
    if is_inverted:
        grey = 1.0 - grey
    if padding_is_black:
        # Around the picture, as collimation is: not part of what was seen.
        grey[is_padding(dataset, values)] = 0.0
    return grey


def _after_modality(dataset: Dataset, values: np.ndarray, stored: Stored) -> tuple[np.ndarray, float, float]:
    """Values after the modality LUT or rescale, and the ends of their range."""
    if dataset.get("ModalityLUTSequence"):
        entries, first = _lookup_table(dataset["ModalityLUTSequence"].value[0], dataset, is_signed=stored.is_signed)
        output = _looked_up(values, entries, first)
        # Of the entries that these values can lead to; a table may have others, and claim more bits than they need.
        reached = output[(values >= stored.low) & (values <= stored.high)]
        return output, 0.0, float(white_of(reached.max(initial=0)))
    slope, intercept = _rescale(dataset)
    if slope == 0:
        raise damaged(f"{named('RescaleSlope')}: the rescale slope is 0, which gives all pixels one value")
    ends = sorted((stored.low * slope + intercept, stored.high * slope + intercept))
    return values * slope + intercept, ends[0], ends[1]


def _rescale(dataset: Dataset) -> tuple[float, float]:
    """Slope and intercept; 1 and 0 where the header does not tell."""
    numbers = []
    for keyword, default in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0)):
        value = number(dataset, keyword)
        if math.isnan(value) and is_written(dataset, keyword):
            raise damaged(f"{named(keyword)} holds no number that can be read")
        numbers.append(default if math.isnan(value) else value)
    return numbers[0], numbers[1]


def _after_voi(
    dataset: Dataset, output: np.ndarray, low: float, high: float, stored: Stored, *, is_inverted: bool
) -> np.ndarray:
    for grey, first, last in _voi_greys(dataset, output, low, high):
        shown = Shown(grey=grey, output=output, first=first, last=last, low=low, high=high, counts=stored.counts)
        if not is_far(shown, is_inverted=is_inverted):
            return grey
    return np.clip((output - low) / (high - low), 0.0, 1.0)


def _voi_greys(
    dataset: Dataset, output: np.ndarray, low: float, high: float
) -> Iterator[tuple[np.ndarray, float, float]]:
    """What each VOI LUT, then each window, makes of ``output``, and the values it reaches from and to."""
    for item in dataset.get("VOILUTSequence") or ():
        entries, first = _lookup_table(item, dataset, is_signed=low < 0)
        shown = _looked_up(output, entries, first)
        # The bits that the descriptor names are at times those of the storage, and not of the entries.
        white = white_of(entries.max())
        reached = shown[(output >= low) & (output <= high)]
        if len(reached) and np.ptp(reached) < LEAST_OF_USED * white:
            white = white_of(reached.max())
        yield np.minimum(shown / white, 1.0), first, first + len(entries) - 1
    function = word(dataset, "VOILUTFunction") or "LINEAR"
    centers, widths = numbers(dataset, "WindowCenter"), numbers(dataset, "WindowWidth")
    for center, width in zip(centers, widths, strict=False):
        if not math.isnan(center) and width >= (1.0 if function == "LINEAR" else np.finfo(float).tiny):
            yield window(output, center, width, function), center - width / 2, center + width / 2


def window(values: np.ndarray, center: float, width: float, function: str = "LINEAR") -> np.ndarray:
    """Grey in [0, 1] through a window (PS3.3 C.11.2.1.2 and C.11.2.1.3).

    Args:
        values: Of any shape, in the units of the window; the grey is float of the same shape.
        width: At least 1, of a sigmoid or an exact line above 0.
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


def _lookup_table(item: Dataset, dataset: Dataset, *, is_signed: bool) -> tuple[np.ndarray, int]:
    """Entries and first value mapped of one table of a sequence; the bits that it claims are not looked at."""
    try:
        n_entries, first, bits = (int(value) for value in item.LUTDescriptor)
    except (AttributeError, TypeError, ValueError):
        raise damaged(f"{named('LUTDescriptor')} of a look-up table does not hold three numbers") from None
    if item.get("LUTData") is None:
        raise damaged(f"{named('LUTData')} of a look-up table is absent or empty")
    # Unsigned whatever pydicom took them for, and 0 where the number does not fit; but the first value mapped is
    # signed where the table's input is.
    n_entries = n_entries % (1 << 16) or 1 << 16
    first %= 1 << 16
    if is_signed and first >= 1 << 15:
        first -= 1 << 16
    entries = _entries(item.LUTData, n_entries, is_little_endian=bool(dataset.original_encoding[1]))
    if not 1 <= bits <= 16 or len(entries) != n_entries:
        raise damaged(
            f"a look-up table should have {n_entries} entries of 1 to 16 bits ({named('LUTDescriptor')}), found "
            f"{len(entries)}, of {bits} bits"
        )
    return entries, first


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

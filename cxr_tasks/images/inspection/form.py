"""What a file says of its picture, and the picture in grey."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cxr_tasks.images.colour import coloured_share, coloured_words
from cxr_tasks.images.inspection.unusable import Unusable
from cxr_tasks.images.rules import MOST_COLOURED

if TYPE_CHECKING:
    from cxr_tasks.images.dicom import DicomHeader

SMALLEST_SIDE_PX = 64


@dataclass(slots=True)
class Form:
    """What a file says of its picture, upright; fields as the manifest columns of the same names."""

    file_format: str
    mode: str
    width_px: int
    height_px: int
    bit_depth: int
    header: DicomHeader | None = None
    coloured: float = 0.0
    """The share of coloured pixels in [0, 1], at most ``MOST_COLOURED``."""
    is_damaged: bool = False
    """The decoder met a fault in the data and passed over it: a part of the picture may be another than it was."""

    @property
    def flags(self) -> tuple[str, ...]:
        """Words of the manifest's ``flags``."""
        words = {"coloured_mark": self.coloured > 0, "damaged_data": self.is_damaged}
        return tuple(word for word, is_so in words.items() if is_so)


@dataclass(slots=True)
class Picture:
    """The grey values of one file, and their form."""

    grey: np.ndarray
    """uint8 or uint16 (little-endian), shape (height, width); of a large JPEG reduced."""
    white: int
    """The value that stands for white."""
    form: Form


def check_smallest(width: int, height: int) -> None:
    """``Unusable`` where a side is shorter than ``SMALLEST_SIDE_PX``."""
    if min(width, height) < SMALLEST_SIDE_PX:
        detail = f"{width} x {height} pixels, expected at least {SMALLEST_SIDE_PX} on each side"
        raise Unusable("too_small", detail, "find the original; this may be a thumbnail")


def checked_colour(rgb: np.ndarray, white: int = 255) -> float:
    """The share of coloured pixels in [0, 1] of ``rgb``, ``(height, width, 3)`` with ``white`` as its highest value.

    Raises:
        Unusable: It is more than a coloured mark on a grey picture has.
    """
    share = coloured_share(rgb, white)
    if share > MOST_COLOURED:
        raise Unusable("colour", coloured_words(share), "store the image as greyscale, from its original")
    return share

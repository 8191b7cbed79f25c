"""JPEG files in grey, and whether their data hold the whole picture, by the rule of ``images.graph.jpeg``.

Grey pixels come from simplejpeg, which gives the same values as Pillow in four fifths of the time. It also tells of any
damage that a decoder can pass over; Pillow and TensorFlow pass over it without a word.
"""

from __future__ import annotations

import itertools

import numpy as np
import simplejpeg

from cxr_tasks.images.inspection.by_pillow import picture_by_pillow, samples_of
from cxr_tasks.images.inspection.file_header import FileHeader, read_header, refusal
from cxr_tasks.images.inspection.form import Form, Picture, checked_colour
from cxr_tasks.images.inspection.scans import Scans, read_scans
from cxr_tasks.images.inspection.unusable import Unusable
from cxr_tasks.images.rules import FURTHER_BITS, JPEG_BLOCK_PX, MISSING_ABOUT, MISSING_GREY, Problem

#: A JPEG is decoded at a half, quarter or eighth of its size as long as both sides stay this long: the largest
#: ``PixelSpec.size_px``, so that no stored picture shows more than was looked at here.
REDUCED_SIDE_PX = 1024
_MODES = {"Gray": "L", "YCbCr": "RGB", "RGB": "RGB"}


def jpeg_picture(content: bytes, header: FileHeader) -> Picture:
    """The picture of a JPEG whose ``header`` is sound, not turned.

    Raises:
        Unusable: Its data are damaged so that no picture comes out, or end early; or it is in colours.
    """
    scans = read_scans(content, header.frame_at, header.scan_at)
    if not scans.is_whole:
        raise refusal(Problem.ENDS_EARLY)
    is_damaged = False
    try:
        if (picture := _reduced(content)) is not None:
            return picture
    except ValueError:
        is_damaged = True
    if _ends_early(content, scans):
        raise refusal(Problem.ENDS_EARLY)
    picture = picture_by_pillow(content, "JPEG")
    picture.form.is_damaged = is_damaged
    return picture


def check_whole(content: bytes) -> None:
    """``Unusable`` for a JPEG that a decoder would fill up, or whose header is not taken."""
    header = read_header(content)
    scans = read_scans(content, header.frame_at, header.scan_at)
    if not scans.is_whole or _ends_early(content, scans):
        raise refusal(Problem.ENDS_EARLY)


def _reduced(content: bytes) -> Picture | None:
    """A JPEG in grey, RGB or YCbCr, reduced where it is large; None of any other.

    Raises:
        ValueError: The decoder met a fault in its data.
    """
    height, width, colours, _ = simplejpeg.decode_jpeg_header(content)
    mode = _MODES.get(colours)
    if mode is None:
        return None
    grey = simplejpeg.decode_jpeg(content, "GRAY", **_reduction(height, width))
    coloured = 0.0 if mode == "L" else checked_colour(simplejpeg.decode_jpeg(content, "RGB"))
    return Picture(grey[:, :, 0], 255, Form("JPEG", mode, width, height, 8, coloured=coloured))


def _reduction(height: int, width: int) -> dict[str, int]:
    """How simplejpeg is told to halve a large picture while it decodes, at once, twice or three times."""
    short_side = min(height, width)
    if short_side < 2 * REDUCED_SIDE_PX:
        return {}
    factor = next(divisor for divisor in (8, 4, 2) if short_side // divisor >= REDUCED_SIDE_PX)
    return {"min_height": -(-height // factor), "min_width": -(-width // factor), "min_factor": factor}


def _ends_early(content: bytes, scans: Scans) -> bool:
    """Whether the decoder reads on behind the data of a scan: bits put in there then change the picture.

    Of one scan that is asked only where the last block is what becomes of one without data, as the graph does, for
    which it would be a second decoding of every picture.
    """
    samples = samples_of(content, "JPEG")
    if scans.is_one and not _ends_grey(samples):
        return False
    bounds = (0, *scans.ends, len(content))
    pieces = [content[start:end] for start, end in itertools.pairwise(bounds)]
    try:
        further = samples_of(FURTHER_BITS.join(pieces), "JPEG")
    except Unusable:
        return True
    return not np.array_equal(samples, further)


def _ends_grey(samples: np.ndarray) -> bool:
    top, left = ((side - 1) // JPEG_BLOCK_PX * JPEG_BLOCK_PX for side in samples.shape[:2])
    distance = np.abs(samples[top:, left:].astype(np.int64) - MISSING_GREY)
    return int(distance.max()) <= MISSING_ABOUT

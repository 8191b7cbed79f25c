"""Decode the bytes of an image file to grey values, once, or say why they cannot be used.

Which files are taken is told by their header before any decoder sees them, see ``file_header``. JPEG files go to
``inspection.jpeg``, PNG and BMP to ``inspection.by_pillow``, DICOM to ``cxr_tasks.images.dicom``.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

import numpy as np
from PIL import Image

from cxr_tasks.images.inspection.by_pillow import picture_by_pillow
from cxr_tasks.images.inspection.file_header import read_header, refusal
from cxr_tasks.images.inspection.form import Form, Picture, check_smallest
from cxr_tasks.images.inspection.jpeg import jpeg_picture
from cxr_tasks.images.inspection.unusable import Unusable
from cxr_tasks.images.rules import MOST_MEGAPIXELS, Problem, too_many_pixels_words


def decode(content: bytes) -> Picture:
    """The picture in ``content``, turned as its EXIF orientation says; the same bytes always give the same.

    Raises:
        Unusable: Not an image, damaged, truncated, animated, in colours, of a form that cannot be read as grey, too
            small or too large; of a DICOM file whatever ``cxr_tasks.images.dicom`` refuses.
    """
    if content[128:132] == b"DICM":
        return _dicom(content)
    if content[:1] in b"\x00\x02\x08D" and (without_preamble := _dicom_without_preamble(content)):
        return without_preamble
    header = read_header(content)
    check_smallest(header.width, header.height)
    is_jpeg = header.file_format == "JPEG"
    picture = jpeg_picture(content, header) if is_jpeg else picture_by_pillow(content, header.file_format)
    return _upright(picture, header.orientation)


def _upright(picture: Picture, orientation: int) -> Picture:
    """The picture turned (Exif 2.32, 4.6.4 A), as ``images.pixels`` turns it."""
    if orientation == 1:
        return picture
    grey, form = picture.grey, picture.form
    if orientation >= 5:
        grey = grey.T
        form.width_px, form.height_px = form.height_px, form.width_px
    if orientation in {3, 4, 7, 8}:
        grey = grey[::-1]
    if orientation in {2, 3, 6, 7}:
        grey = grey[:, ::-1]
    return Picture(np.ascontiguousarray(grey), picture.white, form)


@contextlib.contextmanager
def own_size_bound() -> Iterator[None]:
    """Pillow's warning about large pictures off: there is a bound of our own here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def _dicom_without_preamble(content: bytes) -> Picture | None:
    from cxr_tasks.images.dicom import is_dicom

    return _dicom(content) if is_dicom(content) else None


def _dicom(content: bytes) -> Picture:
    from cxr_tasks.images.dicom import DicomRefused, read_dicom

    try:
        # Whether the patient must be known from the file is for the source's record to say.
        image = read_dicom(content, patient_required=False)
    except DicomRefused as why:
        raise Unusable(why.reason, why.detail, why.action) from None
    height, width = image.pixels.shape
    if width * height > MOST_MEGAPIXELS * 1_000_000:
        raise refusal(Problem.TOO_MANY_PIXELS, too_many_pixels_words(width, height, MOST_MEGAPIXELS))
    check_smallest(width, height)
    is_wide = image.pixels.dtype.itemsize > 1
    form = Form("DICOM", "I;16" if is_wide else "L", width, height, image.bit_depth, image.header, image.coloured)
    pixels = image.pixels.astype("<u2", copy=False) if is_wide else image.pixels
    return Picture(pixels, 65535 if is_wide else 255, form)

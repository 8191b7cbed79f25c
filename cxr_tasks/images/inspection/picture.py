"""Decode the bytes of an image file to grey values, once, or say why they cannot be used.

Which files are taken is told by their header before any decoder sees them, see ``file_header``. Grey JPEG pixels come
from simplejpeg, which gives the same values as Pillow in four fifths of the time; whatever it does not take, Pillow
judges. DICOM files go to ``cxr_tasks.images.dicom``.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError

from cxr_tasks.images.colour import coloured_share, coloured_words
from cxr_tasks.images.grey_range import white_of
from cxr_tasks.images.inspection.file_header import check_png_end, read_header, refusal
from cxr_tasks.images.inspection.scans import has_all_scans
from cxr_tasks.images.inspection.unusable import Unusable
from cxr_tasks.images.rules import MOST_COLOURED, MOST_MEGAPIXELS, Problem, too_many_pixels_words

if TYPE_CHECKING:
    from cxr_tasks.images.dicom import DicomHeader

USABLE_MODES = frozenset({"L", "LA", "P", "PA", "RGB", "RGBA", "I;16", "I;16B"})

SMALLEST_SIDE_PX = 64
#: A JPEG is decoded at a half, quarter or eighth of its size as long as both sides stay this long: the largest
#: ``PixelSpec.size_px``, so that no stored picture shows more than was looked at here.
REDUCED_SIDE_PX = 1024
#: What Pillow calls the samples of a 16-bit PNG -> how it reads the lower byte of each; of grey with alpha all four
#: bytes of a pixel apart.
_OTHER_ORDER = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L", "LA;16B": "RGBA"}
_JPEG_MODES = {"Gray": "L", "YCbCr": "RGB", "RGB": "RGB"}


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


@dataclass(slots=True)
class Picture:
    """The grey values of one file, and their form."""

    grey: np.ndarray
    """uint8 or uint16 (little-endian), shape (height, width); of a large JPEG reduced."""
    white: int
    """The value that stands for white."""
    form: Form


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
    _check_smallest(header.width, header.height)
    if header.file_format == "PNG":
        check_png_end(content)
    is_jpeg = header.file_format == "JPEG"
    if is_jpeg and not has_all_scans(content, header.frame_at, header.scan_at):
        raise refusal(Problem.ENDS_EARLY)
    picture = _plain_jpeg(content) if is_jpeg else None
    return _upright(picture or _by_pillow(content, header.file_format), header.orientation)


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


def _plain_jpeg(content: bytes) -> Picture | None:
    """A JPEG without anything odd about it; None where Pillow is to say what it is."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(content)
        mode = _JPEG_MODES.get(colours)
        if mode is None:
            return None
        grey = simplejpeg.decode_jpeg(content, "GRAY", **_reduction(height, width))
        coloured = 0.0 if mode == "L" else _checked_colour(simplejpeg.decode_jpeg(content, "RGB"))
    # Also of damage that can be passed over, which Pillow does where it can; but not where pixels are missing.
    except ValueError as error:
        if "premature end" in str(error).lower():
            raise refusal(Problem.ENDS_EARLY) from None
        return None
    return Picture(grey[:, :, 0], 255, Form("JPEG", mode, width, height, 8, coloured=coloured))


def _reduction(height: int, width: int) -> dict[str, int]:
    """How simplejpeg is told to halve a large picture while it decodes, at once, twice or three times."""
    short_side = min(height, width)
    if short_side < 2 * REDUCED_SIDE_PX:
        return {}
    factor = next(one for one in (8, 4, 2) if short_side // one >= REDUCED_SIDE_PX)
    return {"min_height": -(-height // factor), "min_width": -(-width // factor), "min_factor": factor}


def _by_pillow(content: bytes, file_format: str) -> Picture:
    with _open(content, file_format) as picture:
        width, height = picture.size
        _check_form(picture)
        form = Form(str(picture.format), picture.mode, width, height, _bit_depth(picture))
        if form.file_format == "PNG" and form.bit_depth == 16:
            return _deep(picture, form, content)
        _load(picture)
        grey, white, form.coloured = _grey(picture)
    return Picture(np.frombuffer(grey.tobytes(), np.uint8).reshape(height, width), white, form)


def _open(content: bytes, file_format: str) -> Image.Image:
    try:
        # No decoder but that of the format that the first bytes tell is given the file.
        return Image.open(io.BytesIO(content), formats=(file_format,))
    # Pillow's own words name an object in memory.
    except UnidentifiedImageError:
        detail = f"begins as a {file_format} file, and no picture can be made out of what follows"
        raise Unusable("damaged", detail, "fetch the file again") from None
    # Decoders raise whatever their parsing runs into; one file must not end the run, and its row tells what it was.
    except Exception as error:
        raise Unusable("damaged", f"{type(error).__name__}: {error}", "fetch the file again") from None


def _check_form(picture: Image.Image) -> None:
    if getattr(picture, "n_frames", 1) > 1:
        raise refusal(Problem.SEVERAL)
    if picture.mode not in USABLE_MODES:
        detail = f"expected grey or RGB, found {picture.mode}"
        raise Unusable("unsupported_mode", detail, "store the image as greyscale")


def _check_smallest(width: int, height: int) -> None:
    if min(width, height) < SMALLEST_SIDE_PX:
        detail = f"{width} x {height} pixels, expected at least {SMALLEST_SIDE_PX} on each side"
        raise Unusable("too_small", detail, "find the original; this may be a thumbnail")


def _load(picture: Image.Image) -> None:
    try:
        picture.load()
    except MemoryError:
        width, height = picture.size
        raise Unusable(
            "out_of_memory", f"no memory for {width} x {height} pixels", "free memory, ingest again"
        ) from None
    except OSError as error:
        if "truncated" in str(error):
            raise Unusable("truncated", f"the picture ends early: {error}", "fetch the file again") from None
        raise Unusable("damaged", f"{type(error).__name__}: {error}", "fetch the file again") from None
    # As in ``_open``.
    except Exception as error:
        raise Unusable("damaged", f"{type(error).__name__}: {error}", "fetch the file again") from None


def _bit_depth(picture: Image.Image) -> int:
    """Bits of a grey value as stored. Pillow widens 1, 2 and 4 bits of a PNG while decoding, hence the raw mode."""
    if picture.mode.startswith("I;16"):
        return 16
    tiles = getattr(picture, "tile", None)
    raw = tiles[0].args if tiles else ""
    raw = raw[0] if isinstance(raw, tuple) and raw else raw
    bits = str(raw).partition(";")[2].rstrip("BSNIR")
    return int(bits) if bits.isdigit() else 8


def _grey(picture: Image.Image) -> tuple[Image.Image, int, float]:
    """The picture in grey, the value that stands for white, and the share of coloured pixels."""
    if picture.mode == "L":
        return picture, 255, 0.0
    if picture.mode == "LA":
        return picture.convert("L"), 255, 0.0
    # Straight to L would read a palette's alpha as grey.
    picture = picture.convert("RGB")
    return picture.convert("L"), 255, _checked_colour(np.asarray(picture))


def _deep(picture: Image.Image, form: Form, content: bytes) -> Picture:
    """A PNG of 16 bits over the range that its values can have; colour as luma of all 16 bits, as later stages do.

    Pillow keeps the higher byte of 16-bit colour only; asked to read the samples in the other byte order it gives the
    lower one.
    """
    order = str(picture.tile[0].args)  # type: ignore[attr-defined]
    if order in _OTHER_ORDER:
        other = _open(content, form.file_format)
        other.tile = [other.tile[0]._replace(args=_OTHER_ORDER[order])]  # type: ignore[attr-defined]
        _load(other)
        lower = np.asarray(other).astype(np.int64)
        if order == "LA;16B":
            levels = lower[..., 0] * 256 + lower[..., 1]
        else:
            _load(picture)
            form.coloured = _checked_colour(np.asarray(picture)[..., :3])
            levels = _luma(np.asarray(picture).astype(np.int64) * 256 + lower)
    else:
        _load(picture)
        levels = np.asarray(picture)
    levels = levels.astype("<u2", copy=False)
    white = 65535 if content[37:42] == b"sBIT\x10" else white_of(int(levels.max()))
    return Picture(levels.astype(np.uint8) if white == 255 else levels, white, form)


def _luma(rgb: np.ndarray) -> np.ndarray:
    """The weights of ``images.pixels``, whose rounding this is."""
    return (rgb[..., :3] @ np.array([19595, 38470, 7471]) + (1 << 15)) >> 16


def _checked_colour(rgb: np.ndarray) -> float:
    """The share of coloured pixels, where it is small enough for a coloured mark on a grey picture."""
    share = coloured_share(rgb)
    if share > MOST_COLOURED:
        raise Unusable("colour", coloured_words(share), "store the image as greyscale, from its original")
    return share


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
    _check_smallest(width, height)
    is_wide = image.pixels.dtype.itemsize > 1
    form = Form("DICOM", "I;16" if is_wide else "L", width, height, image.bit_depth, image.header, image.coloured)
    pixels = image.pixels.astype("<u2", copy=False) if is_wide else image.pixels
    return Picture(pixels, 65535 if is_wide else 255, form)

"""Pictures that Pillow decodes: PNG and BMP, and every JPEG with something odd about it."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, UnidentifiedImageError

from cxr_tasks.images.grey_range import white_of
from cxr_tasks.images.inspection.file_header import refusal
from cxr_tasks.images.inspection.form import Form, Picture, checked_colour
from cxr_tasks.images.inspection.png import check_rows, is_interlaced, plain_png
from cxr_tasks.images.inspection.unusable import Unusable
from cxr_tasks.images.rules import ALL_BITS_COUNT, Problem

USABLE_MODES = frozenset({"L", "LA", "P", "PA", "RGB", "RGBA", "I;16", "I;16B"})
#: What Pillow calls the samples of a 16-bit PNG -> how it reads the lower byte of each; of grey with alpha all four
#: bytes of a pixel apart.
_OTHER_ORDER = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L", "LA;16B": "RGBA"}


def picture_by_pillow(content: bytes, file_format: str) -> Picture:
    """The picture in ``content``, not turned; ``file_format`` is JPEG, PNG or BMP, as the first bytes tell.

    Raises:
        Unusable: It is damaged, ends early, is animated or in colours, or its form cannot be read as grey.
    """
    counts_all = content[37:42] == ALL_BITS_COUNT
    if file_format == "PNG":
        content = plain_png(content)
    with _open(content, file_format) as picture:
        width, height = picture.size
        _check_form(picture)
        form = Form(str(picture.format), picture.mode, width, height, _bit_depth(picture))
        if file_format == "PNG" and form.bit_depth == 16:
            return _deep(picture, form, content, counts_all=counts_all)
        _load(picture)
        _check_png_rows(picture, content)
        grey, white, form.coloured = _grey(picture)
    return Picture(np.frombuffer(grey.tobytes(), np.uint8).reshape(height, width), white, form)


def samples_of(content: bytes, file_format: str) -> np.ndarray:
    """The samples as they are stored, uint8 ``(height, width)`` or ``(height, width, channels)``.

    Raises:
        Unusable: They cannot be decoded.
    """
    with _open(content, file_format) as picture:
        _load(picture)
        return np.asarray(picture)


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


def _check_png_rows(picture: Image.Image, content: bytes) -> None:
    """Rows that are not there stay 0 and are not told; asked only where the last one is 0, or a few rows tell nothing.

    To ask costs as much again as to decode, and few pictures end in black.
    """
    width, height = picture.size
    if picture.format != "PNG":
        return
    if is_interlaced(content) or not any(picture.crop((0, height - 1, width, height)).tobytes()):
        check_rows(content)


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
    return picture.convert("L"), 255, checked_colour(np.asarray(picture))


def _deep(picture: Image.Image, form: Form, content: bytes, *, counts_all: bool) -> Picture:
    """A PNG of 16 bits over the range that its values can have; colour as luma of all 16 bits, as later stages do.

    Pillow keeps the higher byte of 16-bit colour only; asked to read the samples in the other byte order it gives the
    lower one.
    """
    order = str(picture.tile[0].args)  # type: ignore[attr-defined]
    if order in _OTHER_ORDER:
        reordered = _open(content, form.file_format)
        reordered.tile = [reordered.tile[0]._replace(args=_OTHER_ORDER[order])]  # type: ignore[attr-defined]
        _load(reordered)
        _check_png_rows(reordered, content)
        lower = np.asarray(reordered).astype(np.uint16)
        if order == "LA;16B":
            levels = lower[..., 0] * 256 + lower[..., 1]
        else:
            _load(picture)
            rgb = np.asarray(picture)[..., :3].astype(np.uint16) * 256 + lower[..., :3]
            form.coloured = checked_colour(rgb, 65535 if counts_all else white_of(int(rgb.max())))
            levels = _luma(rgb.astype(np.int64))
    else:
        _load(picture)
        _check_png_rows(picture, content)
        levels = np.asarray(picture)
    levels = levels.astype("<u2", copy=False)
    white = 65535 if counts_all else white_of(int(levels.max()))
    return Picture(levels.astype(np.uint8) if white == 255 else levels, white, form)


def _luma(rgb: np.ndarray) -> np.ndarray:
    """The weights of ``images.pixels``, whose rounding this is."""
    return (rgb @ np.array([19595, 38470, 7471]) + (1 << 15)) >> 16

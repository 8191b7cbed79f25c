"""Open one image file once: its hashes, form and grey statistics, or the reason why it cannot be used."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import math
import operator
import os
import stat
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from cxr_tasks.contracts.paths import inside
from cxr_tasks.sources.base import Refusal

#: What every later stage can decode, the served graph among them.
USABLE_FORMATS = frozenset({"JPEG", "PNG", "BMP"})
#: What is recognised, so that the refusal can name it. No other decoder of Pillow is ever given a file.
_RECOGNISED = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP")
USABLE_MODES = frozenset({"L", "LA", "P", "PA", "RGB", "RGBA", "I;16", "I;16B"})

SMALLEST_SIDE_PX = 64
#: The largest X-ray detectors give about 20 million pixels.
MOST_PIXELS = 100_000_000
LARGEST_FILE_BYTES = 512 * 1024 * 1024
#: Below this deviation of the grey values (on the [0, 1] scale) a picture shows nothing.
BLANK_DEVIATION = 0.01
_GREYS = range(256)
_SQUARES = tuple(value * value for value in _GREYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What is in a usable image file; fields as the manifest columns of the same names."""

    file_sha256: str
    pixel_sha256: str
    file_format: str
    mode: str
    width_px: int
    height_px: int
    mean: float
    deviation: float


class _Unusable(Exception):
    """Carries a refusal out of the checks; never leaves this module."""

    def __init__(self, reason: str, detail: str, action: str):
        super().__init__(detail)
        self.reason, self.detail, self.action = reason, detail, action


def inspect_files(work: list[tuple[str, str]]) -> list[Inspection | Refusal]:
    """``inspect_file`` of every (root, image_id); what a worker process runs, so this module imports little."""
    with _own_size_bound():
        return [_inspect(root, image_id) for root, image_id in work]


def inspect_file(root: Path, image_id: str) -> Inspection | Refusal:
    """What is in the file ``root / image_id``, or why it is refused. Reads it, and decodes it, once."""
    with _own_size_bound():
        return _inspect(str(root), image_id)


@contextlib.contextmanager
def _own_size_bound() -> Iterator[None]:
    """Pillow's warning about large pictures off: ``_check_form`` has its own bound."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def _inspect(root: str, image_id: str) -> Inspection | Refusal:
    try:
        return _inspect_bytes(_read(root, image_id))
    except _Unusable as why:
        return Refusal(image_id=image_id, reason=why.reason, detail=why.detail, action=why.action)


def _read(root: str, image_id: str) -> bytes:
    try:
        descriptor = _open_file(root, image_id)
        with open(descriptor, "rb", buffering=0) as stream:
            _check_file(os.fstat(descriptor))
            return stream.readall()
    except FileNotFoundError:
        raise _Unusable("missing_file", "listed, but not there when opened", "restore the file or its link") from None
    except PermissionError:
        raise _Unusable("no_permission", "this process may not read the file", "give read permission") from None
    except OSError as error:
        raise _Unusable("unreadable", f"the system cannot read it: {error.strerror}", "check disk and link") from None


def _open_file(root: str, image_id: str) -> int:
    path = os.path.join(root, image_id)  # noqa: PTH118 - pathlib costs a tenth of the decoding
    # Without waiting: a named pipe would hang the run otherwise.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(path, flags | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
    if not inside(Path(root), Path(path)):
        raise _Unusable("link_outside", "the link leads out of the data folder", "copy the file into the folder")
    return os.open(path, flags)


def _check_file(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise _Unusable("not_a_file", "expected a regular file, found a device, pipe or folder", "remove it")
    if found.st_size == 0:
        raise _Unusable("empty_file", "expected an image, found 0 bytes", "fetch the file again")
    if found.st_size > LARGEST_FILE_BYTES:
        raise _Unusable("file_too_large", f"{found.st_size} bytes, at most {LARGEST_FILE_BYTES}", "check the file")


def _inspect_bytes(content: bytes) -> Inspection:
    with _open(content) as picture:
        _check_form(picture)
        _decode(picture)
        grey, scale = _grey(picture)
        mode, file_format = picture.mode, str(picture.format)
    mean, deviation = _statistics(grey, scale)
    if deviation < BLANK_DEVIATION:
        detail = f"grey values deviate by {deviation:.4f} of the range, expected at least {BLANK_DEVIATION}"
        raise _Unusable("blank", detail, "look at the image; fetch it again or remove it")
    width, height = grey.size
    pixels = hashlib.sha256(f"{width}x{height}x{scale}:".encode())
    pixels.update(grey.tobytes())
    return Inspection(
        file_sha256=hashlib.sha256(content).hexdigest(),
        pixel_sha256=pixels.hexdigest(),
        file_format=file_format,
        mode=mode,
        width_px=width,
        height_px=height,
        mean=mean,
        deviation=deviation,
    )


def _open(content: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(content), formats=_RECOGNISED)
    except UnidentifiedImageError:
        detail = f"expected a JPEG or PNG, found a file that begins with {content[:8]!r}"
        raise _Unusable("not_an_image", detail, "fetch the file again or remove it") from None
    except Image.DecompressionBombError as error:
        raise _Unusable("too_many_pixels", str(error), "check where the file comes from") from None
    # Decoders raise whatever their parsing runs into; one file must not end the run, and its row tells what it was.
    except Exception as error:
        raise _Unusable("damaged", f"{type(error).__name__}: {error}", "fetch the file again") from None


def _check_form(picture: Image.Image) -> None:
    width, height = picture.size
    if width * height > MOST_PIXELS:
        detail = f"{width} x {height} pixels, at most {MOST_PIXELS:,} in all"
        raise _Unusable("too_many_pixels", detail, "check where the file comes from")
    if getattr(picture, "n_frames", 1) > 1:
        raise _Unusable("animated", f"expected one picture, found {picture.n_frames}", "store each as a file")  # type: ignore[attr-defined]
    if picture.format not in USABLE_FORMATS:
        detail = f"expected {', '.join(sorted(USABLE_FORMATS))}, found {picture.format}"
        raise _Unusable("unsupported_format", detail, "store the image as PNG")
    if picture.mode not in USABLE_MODES:
        detail = f"expected grey or RGB, found {picture.mode}"
        raise _Unusable("unsupported_mode", detail, "store the image as greyscale")
    if min(width, height) < SMALLEST_SIDE_PX:
        detail = f"{width} x {height} pixels, expected at least {SMALLEST_SIDE_PX} on each side"
        raise _Unusable("too_small", detail, "find the original; this may be a thumbnail")


def _decode(picture: Image.Image) -> None:
    try:
        picture.load()
    except OSError as error:
        if "truncated" in str(error):
            raise _Unusable("truncated", f"the picture ends early: {error}", "fetch the file again") from None
        raise _Unusable("damaged", f"{type(error).__name__}: {error}", "fetch the file again") from None
    # As in ``_open``.
    except Exception as error:
        raise _Unusable("damaged", f"{type(error).__name__}: {error}", "fetch the file again") from None


def _grey(picture: Image.Image) -> tuple[Image.Image, int]:
    """The picture in grey, and the value that stands for white."""
    if picture.mode.startswith("I;16"):
        return picture, 65535
    if picture.mode == "L":
        return picture, 255
    if picture.mode in {"P", "PA"}:
        # Straight to L would read a palette's alpha as grey.
        picture = picture.convert("RGB")
    return picture.convert("L"), 255


def _statistics(grey: Image.Image, scale: int) -> tuple[float, float]:
    """Mean and standard deviation of the grey values on the [0, 1] scale, exact."""
    if scale > 255:
        # Not at the top: 8-bit pictures, nearly all, do without, and worker processes start three times as fast.
        import numpy as np

        values = np.asarray(grey, dtype=np.float64) / scale
        return float(values.mean()), float(values.std())
    counts = grey.histogram()
    n_pixels = grey.width * grey.height
    mean = sum(map(operator.mul, counts, _GREYS)) / n_pixels
    mean_square = sum(map(operator.mul, counts, _SQUARES)) / n_pixels
    return mean / scale, math.sqrt(max(mean_square - mean * mean, 0.0)) / scale

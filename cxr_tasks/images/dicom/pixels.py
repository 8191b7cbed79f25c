"""The pixels of one DICOM picture, decoded and turned into the grey that a reader would see."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cxr_tasks.images.colour import coloured_share, coloured_words
from cxr_tasks.images.dicom.contradictions import check_values
from cxr_tasks.images.dicom.elements import whole_number
from cxr_tasks.images.dicom.grey import Stored, grey_table
from cxr_tasks.images.dicom.padding import around_the_picture, padding_bounds
from cxr_tasks.images.dicom.refused import DicomRefused
from cxr_tasks.images.dicom.samples import decoded_samples
from cxr_tasks.images.grey_range import FEWEST_BITS
from cxr_tasks.images.rules import MOST_COLOURED

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset


def grey_pixels(dataset: FileDataset) -> tuple[np.ndarray, int]:
    """The picture, uint8 or uint16 ``(rows, columns)``, and the bits stored of each value, as ``grey_and_colour``."""
    return grey_and_colour(dataset)[:2]


def grey_and_colour(dataset: FileDataset) -> tuple[np.ndarray, int, float]:
    """The picture as it is read, the bits stored of each value, and the share of pixels that are coloured.

    The picture is uint8 (up to 8 bits) or uint16 ``(rows, columns)``.
    0 is black and the highest value of the type white, whatever the range of the stored values. Call it inside
    ``quiet.quiet``.

    Raises:
        DicomRefused: Not one grey picture of bounded size, or not in a form that can be decoded.
    """
    decoded, is_noisy = decoded_samples(dataset)
    bits = whole_number(dataset, "BitsStored")
    if decoded.ndim == 3:
        grey, coloured = _grey_of_colour(decoded)
        return grey, bits, coloured
    raw = _unsigned(decoded)
    check_values(dataset, raw, is_noisy=is_noisy)
    pattern_of = _pattern_of(dataset, raw, is_noisy=is_noisy)
    is_padding = _padding_of(dataset, raw, pattern_of)
    counts = np.bincount(raw.ravel(), minlength=len(pattern_of))
    kept = np.where(is_padding, 0, counts)
    stored = _stored(dataset, np.bincount(pattern_of, weights=kept, minlength=1 << bits).astype(np.int64))
    white, kind = (255, np.uint8) if bits <= 8 else (65535, np.uint16)
    shown = np.rint(grey_table(dataset, stored, padding_is_black=False) * white).astype(kind)[pattern_of]
    pixels = np.where(is_padding, kind(0), shown)[raw]
    padded = is_padding & (counts > 0)
    # A value outside the range of all others is no anatomy, wherever it stands.
    values = stored.values()[pattern_of[padded]]
    if padded.any() and ((values >= stored.low) & (values <= stored.high)).any():
        at_padding = is_padding[raw]
        amid = at_padding & ~around_the_picture(at_padding)
        pixels[amid] = shown[raw[amid]]
    return pixels, bits, 0.0


def _unsigned(decoded: np.ndarray) -> np.ndarray:
    """The bits of each value as a number: uint8 or uint16, shape as ``decoded``."""
    unsigned = np.dtype("u1" if decoded.dtype.itemsize == 1 else "u2")
    return decoded.astype(decoded.dtype.newbyteorder("="), copy=False).view(unsigned)


def _pattern_of(dataset: FileDataset, raw: np.ndarray, *, is_noisy: bool) -> np.ndarray:
    """Of every number that ``raw`` can hold the pattern of stored bits, below ``2 ** bits stored``."""
    mask = (1 << whole_number(dataset, "BitsStored")) - 1
    every = np.arange(1 << (8 * raw.dtype.itemsize), dtype=np.int64)
    if is_noisy and not whole_number(dataset, "PixelRepresentation", 0):
        # Beyond the range by the noise of compression; cutting bits off would turn white into black.
        return np.minimum(every, mask)
    # Of uncompressed values, the bits above may hold an overlay (retired, and still found).
    return every & mask


def _padding_of(dataset: FileDataset, raw: np.ndarray, pattern_of: np.ndarray) -> np.ndarray:
    """Of every number that ``raw`` can hold whether it is padding: bool."""
    bounds = padding_bounds(dataset)
    if bounds is None:
        return np.zeros(len(pattern_of), bool)
    is_signed = bool(whole_number(dataset, "PixelRepresentation", 0))
    bits = whole_number(dataset, "BitsStored")
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if is_signed else (0, (1 << bits) - 1)
    if low <= bounds[0] and bounds[1] <= high:
        values = Stored(bits, is_signed, 0, 0).values()[pattern_of]
    else:
        # A padding value that the stored bits cannot hold stands in the pixels with the bits above them.
        values = Stored(8 * raw.dtype.itemsize, is_signed, 0, 0).values()
    return (values >= bounds[0]) & (values <= bounds[1])


def _stored(dataset: FileDataset, counts: np.ndarray) -> Stored:
    """The range of values that is shown where the header names no window that is about them.

    All that the stored bits can hold; yet where the highest value in the picture needs fewer bits, what those can
    hold; see ``ranges``. ``counts`` are the pixels of each pattern, without padding.
    """
    bits, is_signed = whole_number(dataset, "BitsStored"), bool(whole_number(dataset, "PixelRepresentation", 0))
    occurring = Stored(bits, is_signed, 0, 0).values()[counts > 0]
    if not len(occurring):
        raise DicomRefused("blank", "every pixel is padding", "look at the image; fetch it again or remove it")
    least, most = int(occurring.min()), int(occurring.max())
    negative = least < 0
    needed = max(most.bit_length(), (-least - 1).bit_length() if negative else 0)
    needed = min(max(needed, FEWEST_BITS - is_signed), bits - is_signed)
    return Stored(bits, is_signed, -(1 << needed) if negative else 0, (1 << needed) - 1, counts)


def _grey_of_colour(decoded: np.ndarray) -> tuple[np.ndarray, float]:
    """Luma (the weights of ``images.pixels``) of a grey picture stored in colour, and the share that is coloured."""
    from PIL import Image

    share = coloured_share(decoded)
    if share > MOST_COLOURED:
        raise DicomRefused("colour", coloured_words(share), "export the picture itself, in grey")
    return np.asarray(Image.fromarray(decoded).convert("L")), share

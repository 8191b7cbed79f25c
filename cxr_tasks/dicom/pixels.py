"""The pixels of one DICOM picture, decoded and turned into the grey that a reader would see."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cxr_tasks.dicom.grey import Stored, grey_table, is_padding
from cxr_tasks.dicom.refused import DicomRefused
from cxr_tasks.dicom.samples import decoded_samples

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

#: A grey picture stored in colour has equal channels; lossy compression moves them apart by a few levels.
COLOUR_TOLERANCE = 16
#: Below this many bits a picture is shown over its whole stored range, see ``_stored``.
FEWEST_BITS = 8


def grey_pixels(dataset: FileDataset) -> tuple[np.ndarray, int]:
    """The picture as it is read, and the bits stored of each value: uint8 (up to 8 bits) or uint16 ``(rows, columns)``.

    0 is black and the highest value of the type white, whatever the range of the stored values. Call it inside
    ``quiet.quiet``.

    Raises:
        DicomRefused: Not one grey picture of bounded size, or not in a form that can be decoded.
    """
    decoded, is_compressed = decoded_samples(dataset)
    bits = int(dataset.BitsStored)
    if decoded.ndim == 3:
        return _grey_of_colour(decoded), bits
    patterns = _bit_patterns(dataset, decoded, is_compressed=is_compressed)
    white = 255 if bits <= 8 else 65535
    table = grey_table(dataset, _stored(dataset, patterns))
    return np.rint(table * white).astype(np.uint8 if bits <= 8 else np.uint16)[patterns], bits


def _bit_patterns(dataset: FileDataset, decoded: np.ndarray, *, is_compressed: bool) -> np.ndarray:
    """Stored values as the unsigned number that their bits make: uint8 or uint16, below ``2 ** bits stored``."""
    mask = (1 << int(dataset.BitsStored)) - 1
    if is_compressed and not dataset.PixelRepresentation:
        # Beyond the range by the noise of compression; cutting bits off would turn white into black.
        decoded = np.minimum(decoded, mask)
    unsigned = np.dtype("u1" if decoded.dtype.itemsize == 1 else "u2")
    patterns = decoded.astype(decoded.dtype.newbyteorder("="), copy=False).view(unsigned)
    # Of uncompressed values, the bits above may hold an overlay (retired, and still found).
    return np.bitwise_and(patterns, mask & np.iinfo(unsigned).max, dtype=unsigned)


def _stored(dataset: FileDataset, patterns: np.ndarray) -> Stored:
    """The range of values that is shown where the header names no window.

    All that the stored bits can hold; yet where the highest value in the picture needs fewer bits, what those can
    hold. Many files keep 12-bit values and claim 16 bits: shown over all 16 they would be nearly black. It depends on
    whole bits only, and not on the single brightest pixel, and 8-bit pictures are always taken as they are.
    """
    bits, is_signed = int(dataset.BitsStored), bool(dataset.PixelRepresentation)
    everything = Stored(bits, is_signed, 0, 0)
    values = everything.values()
    occurring = np.zeros(values.shape, bool)
    occurring[patterns.ravel()] = True
    occurring &= ~is_padding(dataset, values)
    if not occurring.any():
        raise DicomRefused("blank", "every pixel is padding", "look at the image; fetch it again or remove it")
    least, most = int(values[occurring].min()), int(values[occurring].max())
    negative = least < 0
    needed = max(most.bit_length(), (-least - 1).bit_length() if negative else 0)
    needed = min(max(needed, FEWEST_BITS - is_signed), bits - is_signed)
    return Stored(bits, is_signed, -(1 << needed) if negative else 0, (1 << needed) - 1)


def _grey_of_colour(decoded: np.ndarray) -> np.ndarray:
    """Luma of a grey picture that was stored in colour, with the weights of ``prepare.pixels``."""
    from PIL import Image

    spread = decoded.max(axis=-1).astype(np.int16) - decoded.min(axis=-1)
    if spread.max() > COLOUR_TOLERANCE:
        raise DicomRefused(
            "colour",
            f"expected a grey picture, found colours up to {spread.max()} levels apart",
            "export the picture itself, in grey and without coloured marks",
        )
    return np.asarray(Image.fromarray(decoded).convert("L"))

"""Where the values say that a header is wrong about them: bits that it leaves out, another sign or byte order.

All cut values off at a power of two: what should go on beyond begins anew at the other end, so that neighbours lie more
than half of the range apart. In a picture that is read as it was stored few neighbours do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cxr_tasks.images.dicom.elements import refused_element, whole_number
from cxr_tasks.images.dicom.refused import DicomRefused

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

#: Points per side that are looked at.
POINTS = 256
#: With more than this share of neighbours torn apart, and less than this part of them when it is read otherwise, a
#: picture is read wrongly. Text and the edges of collimators are torn however they are read. Of 514 radiographs of this
#: project's sources none is suspected as it is, and 98 % are with the wrong sign.
MOST_TORN, LEAST_HEALED = 0.002, 0.1
#: A compressed picture may go beyond its range by the noise of compression, by so much of the range and in so few of
#: its pixels.
MOST_NOISE, FEW_PIXELS = 1 / 8, 0.01


def check_values(dataset: Dataset, raw: np.ndarray, *, is_noisy: bool) -> None:
    """Nothing, or a ``DicomRefused`` that names the element.

    Args:
        raw: Values as decoded, uint8 or uint16 ``(rows, columns)``, with whatever stands in bits above those stored.
        is_noisy: As ``decoded_samples`` says.
    """
    bits, is_signed = whole_number(dataset, "BitsStored"), bool(whole_number(dataset, "PixelRepresentation", 0))
    most, is_cut = (1 << bits) - 1, is_noisy and not is_signed
    points = raw[_spread(raw.shape[0])][:, _spread(raw.shape[1])].astype(np.int64)
    if is_cut and np.mean(points > most * (1 + MOST_NOISE)) > FEW_PIXELS:
        raise _too_few_bits(bits, int(raw.max()).bit_length())
    patterns = np.minimum(points, most) if is_cut else points & most
    stored = _read(patterns, bits, is_signed=is_signed)
    if _is_healed(stored, _read(patterns, bits, is_signed=not is_signed), bits):
        other = "signed" if not is_signed else "unsigned"
        found = f"{int(is_signed)}, as which values jump between the ends of their range"
        raise refused_element("PixelRepresentation", f"{int(not is_signed)} ({other}), as which they do not", found)
    all_bits = _read(points, 8 * raw.dtype.itemsize, is_signed=is_signed)
    if not is_cut and not np.array_equal(stored, all_bits):
        is_lost = np.ptp(stored) == 0 and np.ptp(all_bits) > 0
        if is_lost or _is_healed(stored, all_bits, bits):
            raise _too_few_bits(bits, int(np.abs(all_bits).max()).bit_length() + is_signed)
    if raw.dtype.itemsize == 2 and not is_noisy:
        swapped = points.astype(np.uint16).byteswap().astype(np.int64) & most
        if _is_healed(stored, _read(swapped, bits, is_signed=is_signed), bits):
            raise refused_element("PixelData", "values in the byte order of the file", "the other order")


def _spread(length: int) -> np.ndarray:
    n = min(length, POINTS)
    return (2 * np.arange(n) + 1) * length // (2 * n)


def _read(patterns: np.ndarray, bits: int, *, is_signed: bool) -> np.ndarray:
    return np.where(patterns >> (bits - 1), patterns - (1 << bits), patterns) if is_signed else patterns


def _is_healed(values: np.ndarray, otherwise: np.ndarray, bits: int) -> bool:
    """Whether many neighbours are torn apart in ``values`` and few of them in the same pixels read ``otherwise``."""
    n_torn, n_pairs = _torn(values, bits)
    return n_torn > MOST_TORN * n_pairs and _torn(otherwise, bits)[0] < LEAST_HEALED * n_torn


def _torn(values: np.ndarray, bits: int) -> tuple[int, int]:
    """Neighbours more than half of the range of ``bits`` apart, and all neighbours.

    Those with the lowest or highest value that occurs do not count: text and frames are burnt in with it.
    """
    is_end = (values == values.min()) | (values == values.max())
    n_torn = n_pairs = 0
    for axis in (0, 1):
        apart = np.abs(np.diff(values, axis=axis)) > (1 << (bits - 1))
        among = ~(is_end.take(range(1, values.shape[axis]), axis) | is_end.take(range(values.shape[axis] - 1), axis))
        n_torn += int(np.count_nonzero(apart & among))
        n_pairs += apart.size
    return n_torn, n_pairs


def _too_few_bits(bits: int, needed: int) -> DicomRefused:
    return refused_element("BitsStored", f"the {needed} bits that the values take", str(bits))

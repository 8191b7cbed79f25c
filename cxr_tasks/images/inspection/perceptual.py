"""Perceptual hashes of many pictures at once, bit for bit those of the imagehash library."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

#: Side of the picture that is hashed.
HASHED_SIDE = 64
#: Lowest frequencies per side that make the hash: 16 x 16 = 256 bits.
HASH_SIDE = 16


def perceptual_hashes(pictures: np.ndarray) -> list[str]:
    """``imagehash.phash(picture, hash_size=16)`` of each picture (n, 64, 64) of grey values, as 64 hex digits.

    The library takes one picture at a time and a third of the time of a JPEG's decoding; a test holds both together.
    The discrete cosine transform of type 2 along both axes; a bit says whether one of its lowest 16 x 16 frequencies
    is above their median (N. Krawetz, "Looks Like It", 2011).
    """
    cosines = _cosines()
    frequencies = (cosines @ pictures @ cosines.T).reshape(len(pictures), -1)
    half = frequencies.shape[1] // 2
    middle = np.partition(frequencies, (half - 1, half), axis=1)[:, half - 1 : half + 1]
    above = frequencies > middle.mean(axis=1, keepdims=True)
    digits = np.packbits(above, axis=1).tobytes().hex()
    width = HASH_SIDE * HASH_SIDE // 4
    return [digits[start : start + width] for start in range(0, len(digits), width)]


@lru_cache(maxsize=1)
def _cosines() -> np.ndarray:
    places = (2 * np.arange(HASHED_SIDE) + 1) * np.pi / (2 * HASHED_SIDE)
    return (2 * np.cos(np.arange(HASH_SIDE)[:, None] * places)).astype(np.float32)

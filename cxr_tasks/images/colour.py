"""Whether a picture stored in colour is a grey one: by the share of its pixels that are coloured."""

from __future__ import annotations

import numpy as np

from cxr_tasks.images.rules import COLOURED_WORDS, MOST_TINT

#: Rows looked at together: numpy's steps over a whole large picture would each need its memory again.
_ROWS = 256


def coloured_share(rgb: np.ndarray, white: int = 255) -> float:
    """The share of pixels of ``rgb`` (``(height, width, 3)``) that differ by more than ``MOST_TINT`` of 255, in [0, 1].

    ``images.pixels`` counts the same way in TensorFlow.

    Args:
        white: The value of ``rgb`` (uint8 or uint16) that stands for 255.
    """
    height, width, _ = rgb.shape
    most = MOST_TINT * white // 255
    return sum(_n_coloured(rgb[top : top + _ROWS], most) for top in range(0, height, _ROWS)) / (height * width)


def coloured_words(share: float) -> str:
    """What is said of a picture with too large a share of coloured pixels."""
    return f"{COLOURED_WORDS}{share * 100:.1f}"


def _n_coloured(rgb: np.ndarray, most: int) -> int:
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    return int(np.count_nonzero(spread > most))

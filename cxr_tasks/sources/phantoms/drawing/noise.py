"""Random fields on a picture: smooth clouds of a chosen grain."""

from __future__ import annotations

import numpy as np
from PIL import Image


def clouds(rng: np.random.Generator, shape: tuple[int, int], cells: float) -> np.ndarray:
    """A smooth random field, float32 of ``shape`` (height, width), mean about 0, deviation about 1.

    ``cells`` is the number of grains along the longer side: 4 gives broad shadows, 40 a fine mottle.
    """
    height, width = shape
    grain = max(shape) / cells
    grid = rng.standard_normal((int(height / grain) + 3, int(width / grain) + 3), dtype=np.float32)
    # A cubic resize of white noise keeps about 0.72 of its deviation.
    picture = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(picture) / np.float32(0.72)


def fractal(rng: np.random.Generator, shape: tuple[int, int], cells: float, octaves: int) -> np.ndarray:
    """Clouds of ``octaves`` grains, each half the size and 0.6 of the height of the one before; deviation about 1."""
    heights = 0.6 ** np.arange(octaves)
    heights /= np.sqrt(np.sum(heights**2))
    return sum(np.float32(h) * clouds(rng, shape, cells * 2**i) for i, h in enumerate(heights))  # type: ignore[return-value]

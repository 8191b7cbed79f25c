"""Numbers that describe a picture: grey statistics, sharpness, bands along the edges, and a near-duplicate hash.

They are of points spread evenly over the picture, not of every pixel, which would take as long as a third of the
decoding; and of many pictures at once, as else most of the time goes into calling numpy.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from cxr_tasks.images.inspection.inversion import is_inverted_suspected, weighted_sums
from cxr_tasks.images.inspection.perceptual import perceptual_hashes

#: Points per side that the perceptual hash is of, before they are averaged; twice as many where the shorter side of
#: the picture has this many pixels, as more noise lies between two points then.
GRID = 128
FINE_GRID_FROM_PX = 512
#: Every second row and column of these makes the points that grey statistics and borders are of.
POINTS = 64
N_POINTS = POINTS * POINTS
#: Side of the window in the middle of the picture, at full resolution, that sharpness is of.
WINDOW = 48
#: A line of points whose values differ by no more than this, of 255, is uniform.
UNIFORM_RANGE = 8
#: How far from black or white, of 255, the points of a uniform line may be for it to be border.
BORDER_GREY = 24


class Statistics(NamedTuple):
    """Fields as the manifest columns of the same names."""

    mean: float
    deviation: float
    entropy: float
    sharpness: float
    border_fraction: float
    perceptual_hash: str
    flags: str


class Samples:
    """What is kept of pictures until their statistics are taken: points and a window of each, side by side."""

    def __init__(self, n_most: int):
        """For ``n_most`` pictures, 23 kB each."""
        self._grids = np.empty((n_most, GRID, GRID), np.uint8)
        self._points = np.empty((n_most, POINTS, POINTS), np.uint8)
        self._windows = np.empty((n_most, WINDOW + 2, WINDOW + 2), np.uint8)
        self._n = 0

    def add(self, grey: np.ndarray, white: int) -> None:
        """Add a picture: (height, width), uint8, or uint16 where ``white`` is over 255."""
        grid, points, window = (of[self._n] for of in (self._grids, self._points, self._windows))
        height, width = grey.shape
        top, left = (height - WINDOW) // 2, (width - WINDOW) // 2
        middle = grey[top - 1 : top + WINDOW + 1, left - 1 : left + WINDOW + 1]
        side = 2 * GRID if min(height, width) >= FINE_GRID_FROM_PX else GRID
        rows, columns = grey.take(_spread(height, side), axis=0), _spread(width, side)
        if side == GRID and white == 255:
            # Straight to its place; clipping, which finds nothing to clip, spares numpy a copy in between.
            window[:] = middle
            rows.take(columns, axis=1, out=grid, mode="clip")
            points[:] = grid[::2, ::2]
        else:
            taken = rows.take(columns, axis=1)
            if white > 255:
                taken, middle = (taken >> 8).astype(np.uint8), middle >> 8
            window[:] = middle
            grid[:] = taken if side == GRID else _averaged(taken).round()
            points[:] = taken[:: side // POINTS, :: side // POINTS]
        self._n += 1

    def statistics(self) -> list[Statistics]:
        """The statistics of each picture, in the order in which they were added."""
        if not self._n:
            return []
        points, windows = self._points[: self._n], self._windows[: self._n]
        small = _averaged(self._grids[: self._n])
        mean, deviation, entropy = _grey_statistics(points)
        columns = (
            mean.tolist(),
            deviation.tolist(),
            entropy.tolist(),
            _sharpness(windows),
            _border_fractions(points),
            perceptual_hashes(small),
            ["inverted_suspected" if is_inverted else "" for is_inverted in is_inverted_suspected(small)],
        )
        return [Statistics(*row) for row in zip(*columns, strict=True)]


@lru_cache(maxsize=4096)
def _spread(length: int, n: int) -> np.ndarray:
    """``n`` places spread evenly over ``length``, each in the middle of its share."""
    return (2 * np.arange(n) + 1) * length // (2 * n)


def _averaged(grids: np.ndarray) -> np.ndarray:
    """The last two axes of uint8 averaged two by two, as float32."""
    pairs = grids.view(np.uint16)
    sums = (pairs & 255) + (pairs >> 8)
    return (sums[..., 0::2, :] + sums[..., 1::2, :]).astype(np.float32) * np.float32(0.25)


def _grey_statistics(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and deviation on the [0, 1] scale and entropy in bits, each (n,), of points (n, 64, 64)."""
    n = len(points)
    places = points.reshape(n, -1) + (np.arange(n) * 256)[:, None]
    counts = np.bincount(places.reshape(-1), minlength=n * 256).reshape(n, 256).astype(np.float64)
    # Sums of whole numbers are exact, so they are the same whichever way a processor adds them up.
    mean = weighted_sums(counts, np.arange(256.0)) / N_POINTS
    mean_square = weighted_sums(counts, np.arange(256.0) ** 2) / N_POINTS
    shares = counts / N_POINTS
    entropy = -(shares * np.log2(np.where(counts > 0, shares, 1))).sum(axis=1)
    return mean / 255, np.sqrt(np.maximum(mean_square - mean**2, 0)) / 255, np.maximum(entropy, 0)


def _sharpness(windows: np.ndarray) -> list[float]:
    """Variance of the Laplacian (of four neighbours) over each window (n, 50, 50), on the [0, 1] grey scale."""
    grey = windows.astype(np.int16)
    laplacian = 4 * grey[:, 1:-1, 1:-1]
    laplacian -= grey[:, :-2, 1:-1]
    laplacian -= grey[:, 2:, 1:-1]
    laplacian -= grey[:, 1:-1, :-2]
    laplacian -= grey[:, 1:-1, 2:]
    flat = laplacian.reshape(len(windows), -1).astype(np.float64)
    mean = flat.sum(axis=1) / WINDOW**2
    return ((np.einsum("ij,ij->i", flat, flat) / WINDOW**2 - mean**2) / 255**2).tolist()


def _border_fractions(points: np.ndarray) -> list[float]:
    """Share of each picture in uniform black or white bands along its edges."""
    result = np.zeros(len(points))
    edges = np.stack([points[:, 0], points[:, -1], points[:, :, 0], points[:, :, -1]], axis=1)
    may_have_one = np.flatnonzero(_is_border(edges).any(axis=1))
    if len(may_have_one):
        some = points[may_have_one]
        rows = _band_lengths(some) / POINTS
        columns = _band_lengths(some.transpose(0, 2, 1)) / POINTS
        result[may_have_one] = 1 - (1 - rows) * (1 - columns)
    return result.tolist()


def _band_lengths(points: np.ndarray) -> np.ndarray:
    """Border lines at the top and at the bottom of each picture, together."""
    is_border = _is_border(points)
    n_first = np.logical_and.accumulate(is_border, axis=1).sum(axis=1)
    n_last = np.logical_and.accumulate(is_border[:, ::-1], axis=1).sum(axis=1)
    return np.minimum(n_first + n_last, POINTS)


def _is_border(lines: np.ndarray) -> np.ndarray:
    """Whether the points along the last axis are all nearly the same black or white."""
    highest, lowest = lines.max(axis=-1), lines.min(axis=-1)
    return (highest - lowest <= UNIFORM_RANGE) & ((highest <= BORDER_GREY) | (lowest >= 255 - BORDER_GREY))

"""Heat maps as numbers: one rule of normalisation, one of enlargement, and how they agree with marked boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cxr_tasks.statistics.intervals import Interval
from cxr_tasks.statistics.patients import patient_numbers
from cxr_tasks.statistics.shares import Share


def normalised(maps: np.ndarray) -> np.ndarray:
    """Each map divided by its own maximum, so that its hottest place is 1; a map of zeros stays zeros.

    Heat says where within an image, not how much: maps of two images cannot be compared by colour.

    Args:
        maps: float ``(n, h, w)``, not below 0.

    Returns:
        float32 of the same shape, in [0, 1].
    """
    highest = maps.max(axis=(1, 2), keepdims=True, initial=0.0)
    return np.divide(maps, highest, out=np.zeros_like(maps, dtype=np.float32), where=highest > 0)


def enlarged(heat: np.ndarray, size_px: int) -> np.ndarray:
    """``heat`` ``(h, w)`` in [0, 1] as float32 ``(size_px, size_px)``, bilinear between the centres of its cells."""
    from PIL import Image

    picture = Image.fromarray(heat.astype(np.float32)).resize((size_px, size_px), Image.Resampling.BILINEAR)
    return np.clip(np.asarray(picture, np.float32), 0.0, 1.0)


def share_interval(is_hit: Sequence[bool], patients: Sequence[str], confidence: float) -> Interval:
    """The share of hits in [0, 1] with its interval, which counts ``patients``, one key an image."""
    return Share.of(np.array(is_hit, bool), patient_numbers(np.array(patients))).interval(confidence)

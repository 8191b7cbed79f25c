"""Heat maps as numbers: one rule of normalisation, one of enlargement, and how they agree with marked boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cxr_tasks.evaluate.intervals import wilson


def normalised(maps: np.ndarray) -> np.ndarray:
    """Each map divided by its own maximum, so that its hottest place is 1; a map of zeros stays zeros.

    Heat says where within an image, not how much: maps of two images cannot be compared by colour.

    Args:
        maps: float ``(n, h, w)``, not below 0.
    """
    highest = maps.max(axis=(1, 2), keepdims=True, initial=0.0)
    return np.divide(maps, highest, out=np.zeros_like(maps, dtype=np.float32), where=highest > 0)


def enlarged(heat: np.ndarray, size_px: int) -> np.ndarray:
    """``heat`` ``(h, w)`` in [0, 1] as ``(size_px, size_px)``, bilinear between the centres of its cells."""
    from PIL import Image

    picture = Image.fromarray(heat.astype(np.float32)).resize((size_px, size_px), Image.Resampling.BILINEAR)
    return np.clip(np.asarray(picture, np.float32), 0.0, 1.0)


def box_mask(boxes: Sequence[dict[str, Any]], size_px: int) -> np.ndarray:
    """Which pixels of the stored square lie in any of ``boxes`` (x, y, width, height in its pixels)."""
    mask = np.zeros((size_px, size_px), bool)
    for box in boxes:
        left, top = (max(0, int(np.floor(box[name]))) for name in ("x", "y"))
        right, bottom = int(np.ceil(box["x"] + box["width"])), int(np.ceil(box["y"] + box["height"]))
        mask[top:bottom, left:right] = True
    return mask


@dataclass(frozen=True, slots=True)
class Localisation:
    """How often the hottest place of a heat map lies in a marked box, and how often chance would put it there."""

    n_images: int
    n_hits: int
    share: float
    lower: float
    upper: float
    random_share: float
    """Mean share of the image that the boxes cover: the hit rate of a place drawn at random."""
    heat_share: float
    """Mean share of all heat that lies in the boxes; ``random_share`` is what an even map would have."""
    n_empty: int
    """Images whose map is zero everywhere; they count as no hit."""


def localisation(heats: Sequence[np.ndarray], masks: Sequence[np.ndarray], confidence: float) -> Localisation | None:
    """The pointing game (Zhang et al., IJCV 126:1084, 2018, without tolerance) with its random control.

    Args:
        heats: float ``(size, size)`` each, of images in which the finding is marked.
        masks: bool, same shape: inside a box. Images without a marked pixel are left out.

    Returns:
        None where no image is marked.
    """
    pairs = [(heat, mask) for heat, mask in zip(heats, masks, strict=True) if mask.any()]
    if not pairs:
        return None
    hits = [bool(heat.max() > 0 and mask.flat[int(heat.argmax())]) for heat, mask in pairs]
    shares = [float(heat[mask].sum() / heat.sum()) if heat.sum() > 0 else 0.0 for heat, mask in pairs]
    one = wilson(sum(hits), len(hits), confidence)
    return Localisation(
        n_images=len(pairs),
        n_hits=sum(hits),
        share=one.value,
        lower=one.lower,
        upper=one.upper,
        random_share=float(np.mean([mask.mean() for _, mask in pairs])),
        heat_share=float(np.mean(shares)),
        n_empty=sum(not heat.any() for heat, _ in pairs),
    )

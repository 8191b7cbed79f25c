"""One example as a picture: the X-ray, the X-ray under its heat map, and the colour bar."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from cxr_tasks.explain.localise import MarkedBox

PANEL_PX = 300
GAP_PX = 10
BAR_PX = 18
LABEL_PX = 36
#: X-rays are read on black; the same in a light and a dark page, and on paper.
GROUND = (16, 18, 22)
TEXT = (225, 228, 232)
BOX = (80, 220, 255)
#: Of the colour where the heat is 1; where it is 0 the X-ray shows as it is.
OPACITY = 0.6


def overlay_png(grey: np.ndarray, heat: np.ndarray, boxes: Sequence[MarkedBox] = ()) -> bytes:
    """PNG: on the left ``grey``, on the right the same under ``heat``, then the colour bar from 0 to 1.

    Args:
        grey: uint8 ``(size, size)``.
        heat: float ``(size, size)`` in [0, 1].
        boxes: what a reader marked, in pixels of ``grey``; drawn as outlines on both pictures.

    Raises:
        ValueError: The two differ in shape.
    """
    if grey.shape != heat.shape or grey.ndim != 2:
        raise ValueError(
            f"expected picture and heat map of one shape (size, size), found {grey.shape} and {heat.shape}"
        )
    plain = _panel(np.repeat(grey[..., None], 3, axis=2))
    mixed = _panel(blend(grey, heat))
    for panel in (plain, mixed):
        _draw_boxes(panel, boxes, PANEL_PX / len(grey))
    width = 2 * PANEL_PX + 3 * GAP_PX + BAR_PX + LABEL_PX
    picture = Image.new("RGB", (width, PANEL_PX), GROUND)
    picture.paste(plain, (0, 0))
    picture.paste(mixed, (PANEL_PX + GAP_PX, 0))
    _draw_bar(picture, 2 * PANEL_PX + 2 * GAP_PX)
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def coloured(heat: np.ndarray) -> np.ndarray:
    """float ``(..., 3)``: RGB in [0, 255] of each value of ``heat`` in [0, 1].

    Perceptually even and readable with colour blindness (``inferno``).
    """
    from matplotlib import colormaps

    # The lower fifth of inferno is nearly black and would darken the X-ray where there is hardly any heat; its upper
    # tenth is nearly white and would pass for bone.
    return 255.0 * colormaps["inferno"](0.2 + 0.7 * heat)[..., :3]


def blend(grey: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """uint8 ``(size, size, 3)``: the colour of the heat over the X-ray, the more the hotter."""
    opacity = OPACITY * heat[..., None]
    mixed = (1.0 - opacity) * grey[..., None].astype(np.float32) + opacity * coloured(heat)
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def _panel(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels).resize((PANEL_PX, PANEL_PX), Image.Resampling.BICUBIC)


def _draw_boxes(panel: Image.Image, boxes: Sequence[MarkedBox], scale: float) -> None:
    draw = ImageDraw.Draw(panel)
    for box in boxes:
        left, top = box["x"] * scale, box["y"] * scale
        draw.rectangle((left, top, left + box["width"] * scale, top + box["height"] * scale), outline=BOX, width=2)


def _draw_bar(picture: Image.Image, left: int) -> None:
    """The colours of heat 1 (top) to 0 as they look over a middle grey, with their numbers."""
    heights = np.linspace(1.0, 0.0, PANEL_PX - 2 * GAP_PX)[:, None].repeat(BAR_PX, axis=1)
    bar = blend(np.full(heights.shape, 110, np.uint8), heights)
    picture.paste(Image.fromarray(bar), (left, GAP_PX))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=22)
    for value, label in ((1.0, "1"), (0.5, ".5"), (0.0, "0")):
        # Kept whole at both ends of the bar.
        y = min(max(GAP_PX + (1.0 - value) * (PANEL_PX - 2 * GAP_PX), 13), PANEL_PX - 13)
        draw.text((left + BAR_PX + 6, y), label, fill=TEXT, font=font, anchor="lm")

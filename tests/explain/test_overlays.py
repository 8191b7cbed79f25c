from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from cxr_tasks.explain.overlays import BOX, GAP_PX, PANEL_PX, blend, overlay_png


def read(png: bytes) -> np.ndarray:
    assert png.startswith(b"\x89PNG")
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


GREY = np.full((64, 64), 120, np.uint8)


def test_without_heat_the_x_ray_shows_as_it_is():
    grey = np.random.default_rng(0).integers(0, 256, (8, 8)).astype(np.uint8)
    np.testing.assert_array_equal(blend(grey, np.zeros((8, 8))), np.repeat(grey[..., None], 3, axis=2))


def test_the_left_picture_is_grey_and_the_right_one_is_coloured_where_it_is_hot():
    heat = np.zeros((64, 64))
    heat[:32] = 1.0
    picture = read(overlay_png(GREY, heat))
    left, right = picture[:, :PANEL_PX], picture[:, PANEL_PX + GAP_PX : 2 * PANEL_PX + GAP_PX]
    assert (left == 120).all()
    assert np.ptp(right[20, 150]) > 60  # upper half: coloured
    assert (right[280, 150] == 120).all()  # lower half: untouched


def test_hotter_is_brighter_along_the_colour_bar():
    picture = read(overlay_png(GREY, np.zeros((64, 64))))
    bar = picture[GAP_PX:-GAP_PX, 2 * PANEL_PX + 2 * GAP_PX + 5].sum(axis=1)
    assert bar[0] > bar[len(bar) // 2] > bar[-1] - 60
    assert bar[0] > 400


def test_a_box_is_drawn_on_both_pictures():
    picture = read(overlay_png(GREY, np.zeros((64, 64)), [{"x": 16, "y": 16, "width": 32, "height": 16}]))
    edge = round(16 * PANEL_PX / 64)
    for offset in (0, PANEL_PX + GAP_PX):
        assert tuple(picture[edge, offset + 150]) == BOX


def test_the_same_picture_gives_the_same_bytes():
    heat = np.linspace(0, 1, 64 * 64).reshape(64, 64)
    assert overlay_png(GREY, heat) == overlay_png(GREY, heat)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="one shape"):
        overlay_png(GREY, np.zeros((8, 8)))

from __future__ import annotations

import numpy as np
import pytest

from cxr_tasks.sources.phantoms.drawing.anatomy import Anatomy, draw_layers
from cxr_tasks.sources.phantoms.drawing.places import UNSEEN, disc, draw_sides, lung_frame, place_in_lung, seen


@pytest.fixture(params=range(5))
def chest(request):
    anatomy = Anatomy.draw(np.random.default_rng(request.param))
    axis = np.linspace(-1, 1, 201, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    return anatomy, draw_layers(anatomy, x, y, np.random.default_rng(1))


@pytest.mark.parametrize("side", [-1, 1])
def test_lung_coordinates_run_from_apex_to_diaphragm_and_out_to_the_wall(chest, side):
    anatomy, layers = chest
    frame = lung_frame(anatomy, layers, side)
    lung = (layers.lung > 0.9) & (frame.here > 0)
    assert lung.sum() > 500
    assert frame.down[lung].min() > -0.05
    assert frame.down[lung].max() < 1.4  # the diaphragm is a dome: at the wall the lung reaches lower
    assert -1.1 < frame.to_wall[lung].min() < 0.2
    assert 0.8 < frame.to_wall[lung].max() < 1.1
    assert np.all(np.sign(layers.x[lung]) == side)


def test_places_are_in_air_on_their_side(chest):
    anatomy, layers = chest
    for seed in range(40):
        rng = np.random.default_rng(seed)
        side = draw_sides(rng, 0)[0]
        x, y = place_in_lung(anatomy, layers, rng, side=side)
        assert x * side > 0
        assert layers.lung[np.abs(layers.y[:, 0] - y).argmin(), np.abs(layers.x[0] - x).argmin()] > 0.5


def test_sides_are_one_or_both_and_each_comes_first_about_as_often():
    drawn = [draw_sides(np.random.default_rng(seed), 0.5) for seed in range(400)]
    assert all(sorted(one) in ([-1], [1], [-1, 1]) for one in drawn)
    assert 0.4 < np.mean([len(one) == 2 for one in drawn]) < 0.6
    assert 0.4 < np.mean([one[0] == 1 for one in drawn]) < 0.6


def test_a_disc_has_its_radius_and_ends(chest):
    _, layers = chest
    ball = disc(layers, (0.1, -0.2), 0.3, 0.01)
    assert ball.sum() * 0.01**2 == pytest.approx(np.pi * 0.3**2, rel=0.03)
    assert ball[(layers.x - 0.1) ** 2 + (layers.y + 0.2) ** 2 > 0.35**2].max() == 0


def test_what_nobody_sees_is_cut_without_a_step():
    change = np.linspace(-0.1, 0.1, 2001, dtype=np.float32)
    left = seen(change)
    assert np.all(left[np.abs(change) < UNSEEN - 1e-6] == 0)
    assert np.abs(np.diff(left)).max() < 2e-4
    assert left[0] == pytest.approx(-0.1 + UNSEEN)

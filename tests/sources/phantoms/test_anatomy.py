from __future__ import annotations

import numpy as np
import pytest

from cxr_tasks.sources.phantoms.drawing.anatomy import Anatomy, draw_layers


@pytest.fixture(params=range(6))
def chest(request):
    """Layers of one patient, upright and centred, on a 201 x 201 grid over the thorax."""
    anatomy = Anatomy.draw(np.random.default_rng(request.param))
    axis = np.linspace(-1, 1, 201, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    return anatomy, draw_layers(anatomy, x, y, np.random.default_rng(1))


def mean_at(layers, x, y, radius=0.05):
    near = (layers.x - x) ** 2 + (layers.y - y) ** 2 < radius**2
    return float(layers.attenuation[near].mean())


def test_lungs_let_through_more_than_spine_heart_and_belly(chest):
    anatomy, layers = chest
    lung = mean_at(layers, -anatomy.lung_centre, -0.2, radius=0.12)
    spine = mean_at(layers, 0, -0.2)
    heart = mean_at(layers, anatomy.heart_shift, anatomy.diaphragm_left - 0.85 * anatomy.heart_radius)
    belly = mean_at(layers, -anatomy.lung_centre, 0.95)
    assert lung < 0.45
    assert lung + 0.1 < min(spine, heart, belly)


def test_lungs_are_two_and_lie_above_the_diaphragm(chest):
    anatomy, layers = chest
    right, left = layers.lung[layers.x < 0].sum(), layers.lung[layers.x > 0].sum()
    assert right > left > 0.3 * right  # the heart takes from the left lung
    assert layers.lung[layers.y > anatomy.diaphragm_left + 0.2].max() < 0.05
    assert layers.lung.min() >= 0
    assert layers.lung.max() <= 1


def test_ribs_cross_the_lung_as_a_wave(chest):
    anatomy, layers = chest
    column = layers.attenuation[:, np.abs(layers.x[0] + anatomy.lung_centre).argmin()]
    field = column[(layers.y[:, 0] > -0.5) & (layers.y[:, 0] < 0.2)]
    n_tops = int(((field[1:-1] > field[:-2]) & (field[1:-1] >= field[2:])).sum())
    assert n_tops >= 3

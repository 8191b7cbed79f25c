from __future__ import annotations

import numpy as np
import pytest

from cxr_tasks.sources.phantoms.drawing.anatomy import Anatomy, draw_layers
from cxr_tasks.sources.phantoms.drawing.opacities import draw_distractors, draw_pneumonia, haze


@pytest.fixture
def chest():
    anatomy = Anatomy.draw(np.random.default_rng(3))
    axis = np.linspace(-1, 1, 160, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    return anatomy, draw_layers(anatomy, x, y, np.random.default_rng(1))


@pytest.mark.parametrize("kind", ["bacteria", "virus"])
def test_opacities_add_attenuation_and_only_in_the_lung(chest, kind):
    anatomy, layers = chest
    for seed in range(20):
        for opacity in draw_pneumonia(kind, anatomy, layers, np.random.default_rng(seed)):
            assert opacity.min() >= 0
            assert np.all(opacity[layers.lung < 1e-6] == 0)


def test_a_viral_pneumonia_is_patchier_and_on_both_sides(chest):
    anatomy, layers = chest

    def sides(kind, seed):
        opacities = draw_pneumonia(kind, anatomy, layers, np.random.default_rng(seed))
        left = sum(float(one[layers.x > 0].sum()) for one in opacities)
        right = sum(float(one[layers.x < 0].sum()) for one in opacities)
        return len(opacities), min(left, right) > 0.05 * max(left, right)

    bacteria = [sides("bacteria", seed) for seed in range(40)]
    virus = [sides("virus", seed) for seed in range(40)]
    assert np.mean([n for n, _ in bacteria]) < 1.5
    assert min(n for n, _ in virus) >= 2
    assert np.mean([both for _, both in virus]) > 0.8
    assert np.mean([both for _, both in bacteria]) < 0.5


def test_distractors_and_haze_are_drawn_from_their_stream_alone(chest):
    _, layers = chest
    one, again, other = (draw_distractors(layers, np.random.default_rng(seed)) for seed in (4, 4, 5))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert haze((40, 50), np.random.default_rng(1)).shape == (40, 50)

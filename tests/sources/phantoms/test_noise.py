from __future__ import annotations

import numpy as np
import pytest

from cxr_tasks.sources.phantoms.drawing.noise import clouds, fractal


@pytest.mark.parametrize("cells", [4, 12, 40])
@pytest.mark.parametrize("shape", [(200, 300), (300, 200)])
def test_clouds_have_the_shape_asked_for_and_a_deviation_about_one(shape, cells):
    fields = [clouds(np.random.default_rng(seed), shape, cells) for seed in range(8)]
    assert all(field.shape == shape and field.dtype == np.float32 for field in fields)
    assert np.std(fields) == pytest.approx(1, abs=0.35)
    assert np.mean(fields) == pytest.approx(0, abs=0.35)


def test_more_cells_are_finer():
    def roughness(cells):
        return np.abs(np.diff(clouds(np.random.default_rng(0), (256, 256), cells), axis=1)).mean()

    assert roughness(8) < roughness(24) < roughness(64)


def test_fractal_adds_detail_at_equal_height():
    smooth = np.array([clouds(np.random.default_rng(seed), (256, 256), 8) for seed in range(6)])
    rough = np.array([fractal(np.random.default_rng(seed), (256, 256), 8, 3) for seed in range(6)])
    assert rough.std() == pytest.approx(smooth.std(), rel=0.35)
    assert np.abs(np.diff(rough, axis=2)).mean() > 1.3 * np.abs(np.diff(smooth, axis=2)).mean()

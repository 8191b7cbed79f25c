from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cxr_tasks.images.inspection.statistics import Samples


def statistics(grey, white=255):
    return all_statistics([grey], white)[0]


def all_statistics(pictures, white=255):
    samples = Samples(len(pictures))
    for one in pictures:
        samples.add(np.ascontiguousarray(one), white)
    return samples.statistics()


def noise(height=200, width=300, seed=1):
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


@pytest.mark.parametrize(
    ("grey", "mean", "deviation", "entropy"),
    [
        (np.full((80, 90), 51, np.uint8), 0.2, 0, 0),  # one grey
        (np.tile(np.repeat([0, 255], 64).astype(np.uint8), (64, 1)), 0.5, 0.5, 1),  # half black, half white
        (np.tile(np.arange(256, dtype=np.uint8), (256, 1)), 0.5, 0.2887, 6),  # a ramp; 64 columns are looked at
    ],
)
def test_grey_statistics_of_known_pictures(grey, mean, deviation, entropy):
    found = statistics(grey)
    assert found.mean == pytest.approx(mean, abs=0.005)
    assert found.deviation == pytest.approx(deviation, abs=0.002)
    assert found.entropy == pytest.approx(entropy, abs=1e-9)


@pytest.mark.parametrize("side", [64, 200, 700, 1500])
def test_statistics_hardly_depend_on_the_size(side):
    coarse = Image.fromarray(noise(12, 12))
    reference = statistics(np.asarray(coarse.resize((280, 280), Image.Resampling.BICUBIC)))
    found = statistics(np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC)))
    assert found.mean == pytest.approx(reference.mean, abs=0.01)
    assert found.deviation == pytest.approx(reference.deviation, abs=0.01)
    assert found.entropy == pytest.approx(reference.entropy, abs=0.15)
    differing = bin(int(found.perceptual_hash, 16) ^ int(reference.perceptual_hash, 16)).count("1")
    assert differing <= 24


def test_sixteen_bits_are_on_the_same_scale():
    grey = noise()
    eight, sixteen = statistics(grey), statistics(grey.astype(np.uint16) * 257, white=65535)
    assert eight == sixteen


def test_sharpness_is_the_variance_of_the_laplacian_in_the_middle():
    grey = noise(64, 64)
    window = grey[7:57, 7:57].astype(float) / 255
    inner = window[1:-1, 1:-1]
    laplacian = 4 * inner - window[:-2, 1:-1] - window[2:, 1:-1] - window[1:-1, :-2] - window[1:-1, 2:]
    assert statistics(grey).sharpness == pytest.approx(laplacian.var(), rel=1e-9)


def test_blur_lowers_sharpness():
    sharp = Image.fromarray(noise())
    blurred = sharp.resize((60, 40), Image.Resampling.BOX).resize((300, 200), Image.Resampling.BICUBIC)
    assert statistics(np.asarray(blurred)).sharpness < statistics(np.asarray(sharp)).sharpness / 50


@pytest.mark.parametrize(
    ("top", "left", "grey", "share"),
    [
        (0, 0, 0, 0),  # none
        (40, 0, 0, 0.2),  # a black band of a fifth of the height
        (40, 0, 255, 0.2),  # a white one
        (40, 60, 0, 0.36),  # and one of a fifth of the width
        (40, 0, 120, 0),  # grey is no border
    ],
)
def test_border_fraction(top, left, grey, share):
    picture = noise()
    picture[:top] = grey
    picture[:, :left] = grey
    assert statistics(picture).border_fraction == pytest.approx(share, abs=0.02)


def test_a_picture_all_black_is_all_border():
    assert statistics(np.zeros((100, 100), np.uint8)).border_fraction == 1


def test_statistics_do_not_depend_on_what_is_measured_beside():
    pictures = [noise(seed=1), noise(70, 64, seed=2), noise(600, 700, seed=3), np.zeros((99, 64), np.uint8)]
    together = all_statistics(pictures)
    assert together == [statistics(one) for one in pictures]
    assert all_statistics([]) == []


@pytest.mark.data
def test_points_tell_what_all_pixels_tell(shared_data):
    """Bounds are twice what the 95th percentile of 332 real pictures showed."""
    for path in sorted((shared_data / "kermany" / "test" / "NORMAL").iterdir())[:20]:
        grey = np.asarray(Image.open(path).convert("L"))
        shares = np.bincount(grey.ravel(), minlength=256) / grey.size
        found = statistics(grey)
        assert found.mean == pytest.approx(grey.mean() / 255, abs=0.005)
        assert found.deviation == pytest.approx(grey.std() / 255, abs=0.005)
        assert found.entropy == pytest.approx(-(shares[shares > 0] * np.log2(shares[shares > 0])).sum(), abs=0.12)

"""Augmentation against references, and what it must not do."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.train_specs import AugmentSpec

pytestmark = pytest.mark.tf

EVERYTHING = AugmentSpec(
    rotate_degrees=10, zoom=0.1, stretch=0.2, shift=0.1, crop=0.3, brightness=0.2, contrast=0.3, gamma=0.5, tone=1.0,
    illumination=0.3, noise=0.05, blur=0.5, erase=0.5, flip_horizontal=True,
)  # fmt: skip
SEED = np.array([1, 2], np.int32)


def smooth_images(n=6, size=48):
    rng = np.random.default_rng(0)
    noise = rng.random((n, size, size))
    smooth = ndimage.gaussian_filter(noise, (0, 3, 3))
    return ((smooth - smooth.min()) / np.ptp(smooth)).astype(np.float32)[..., None]


def draws_of(n, **values):
    """A table with every draw in the middle (no change), apart from ``values``."""
    from cxr_tasks.train.data import augment

    table = np.full((n, augment.N_DRAWS), 0.5, np.float32)
    for name in ("crop_width", "crop_height"):
        table[:, augment._DRAWS.index(name)] = 0
    for name, value in values.items():
        table[:, augment._DRAWS.index(name)] = value
    return table


def augmented(images, spec, draws):
    from cxr_tasks.train.data.augment import augment_batch

    return augment_batch(images, draws, SEED, spec).numpy()


def test_zeros_change_nothing():
    images = smooth_images()
    table = np.random.default_rng(1).random(draws_of(6).shape).astype(np.float32)
    assert np.array_equal(augmented(images, AugmentSpec(), table), images)


@pytest.mark.parametrize(
    "values",
    [
        {"rotate": 1.0},
        {"zoom": 1.0},
        {"zoom": 0.0},
        {"stretch": 1.0},
        {"shift_x": 1.0, "shift_y": 0.2},
        {"flip": 0.0},
        {"crop_width": 1.0, "crop_x": 1.0, "crop_height": 0.5, "crop_y": 0.0},
        {"rotate": 0.1, "zoom": 0.9, "stretch": 0.2, "shift_x": 0.3, "shift_y": 0.8, "flip": 0.2, "crop_width": 0.7},
    ],
    ids=",".join,
)
def test_geometry_equals_scipys_affine_transform(values):
    spec = AugmentSpec(rotate_degrees=10, zoom=0.2, stretch=0.2, shift=0.1, crop=0.3, flip_horizontal=True)
    size = 48
    images = smooth_images(1, size)
    draw = {"rotate": 0.5, "zoom": 0.5, "stretch": 0.5, "shift_x": 0.5, "shift_y": 0.5, "flip": 0.9,
            "crop_width": 0.0, "crop_height": 0.0, "crop_x": 0.5, "crop_y": 0.5, **values}  # fmt: skip
    both = {name: 2 * value - 1 for name, value in draw.items()}
    angle = np.deg2rad(10 * both["rotate"])
    zoom, stretch = 1.2 ** both["zoom"], 1.2 ** (both["stretch"] / 2)
    width, height = 1 - 0.3 * draw["crop_width"], 1 - 0.3 * draw["crop_height"]
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])  # rows y, x
    scale = np.diag([zoom / stretch * height, (-1 if draw["flip"] < 0.5 else 1) * zoom * stretch * width])
    matrix = rotation @ scale
    place = np.array(
        [0.1 * both["shift_y"] + (draw["crop_y"] - 0.5) * (1 - height),
         0.1 * both["shift_x"] + (draw["crop_x"] - 0.5) * (1 - width)]
    )  # fmt: skip
    centre = np.full(2, (size - 1) / 2)
    offset = centre + place * size - matrix @ centre
    expected = ndimage.affine_transform(images[0, ..., 0], matrix, offset, order=1, mode="reflect")
    found = augmented(images, spec, draws_of(1, **draw))[0, ..., 0]
    assert found == pytest.approx(expected, abs=2e-4)
    assert np.abs(found - images[0, ..., 0]).max() > 0.02


def test_gamma_and_contrast_follow_their_formulas():
    images = smooth_images(2)
    found = augmented(images, AugmentSpec(gamma=0.5), draws_of(2, gamma=1.0))
    assert found == pytest.approx(np.maximum(images, 1e-4) ** np.exp(0.5), abs=1e-5)
    found = augmented(images, AugmentSpec(contrast=0.4), draws_of(2, contrast=0.0))
    mean = images.mean((1, 2, 3), keepdims=True)
    assert found == pytest.approx(np.clip(mean + 0.6 * (images - mean), 0, 1), abs=1e-5)


def test_tone_curve_keeps_the_order_of_greys_and_both_ends():
    ramp = np.tile(np.linspace(0, 1, 48, dtype=np.float32)[None, None, :, None], (8, 48, 1, 1))
    table = draws_of(8)
    table[:] = np.random.default_rng(3).random(table.shape)
    curved = augmented(ramp, AugmentSpec(tone=1.5), table)[:, 0, :, 0]
    assert (np.diff(curved, axis=1) > 0).all()
    assert curved[:, [0, -1]] == pytest.approx(np.tile([0, 1], (8, 1)), abs=1e-5)
    assert np.abs(curved - ramp[:, 0, :, 0]).max() > 0.1


def test_blur_equals_scipys_gaussian_and_spares_the_images_not_drawn():
    images = smooth_images(2)
    table = draws_of(2, blur_width=1.0)
    table[:, list(_names()).index("blur")] = [0.1, 0.9]
    found = augmented(images, AugmentSpec(blur=0.5), table)
    expected = ndimage.gaussian_filter(images[0, ..., 0], 1.5, mode="reflect", truncate=2)
    assert found[0, ..., 0] == pytest.approx(expected, abs=1e-4)
    assert found[1] == pytest.approx(images[1], abs=1e-6)


def _names():
    from cxr_tasks.train.data import augment

    return augment._DRAWS


def test_erased_rectangle_is_of_bounded_size():
    images = np.full((64, 48, 48, 1), 0.5, np.float32)
    table = np.random.default_rng(4).random(draws_of(64).shape).astype(np.float32)
    changed = (augmented(images, AugmentSpec(erase=1.0), table) != 0.5).mean((1, 2, 3))
    assert changed.max() <= 0.36**2 and changed.max() > 0.05
    assert (augmented(images, AugmentSpec(erase=0.0), table) == 0.5).all()


def test_everything_together_stays_in_range_and_repeats():
    from cxr_tasks.train.data.augment import draw_table

    images = smooth_images(6)
    draws = draw_table(7, 3, 6)
    first = augmented(images, EVERYTHING, draws)
    assert first.min() >= 0 and first.max() <= 1 and np.isfinite(first).all()
    assert np.array_equal(first, augmented(images, EVERYTHING, draws))
    assert not np.array_equal(first, augmented(images, EVERYTHING, draw_table(7, 4, 6)))


def test_draws_of_an_image_do_not_depend_on_its_batch():
    images = smooth_images(6)
    geometric = AugmentSpec(rotate_degrees=10, crop=0.2, gamma=0.5, tone=1.0, blur=0.5)
    table = np.random.default_rng(5).random(draws_of(6).shape).astype(np.float32)
    whole = augmented(images, geometric, table)
    # Not to the last bit: vector instructions round the end of an array differently.
    assert augmented(images[4:], geometric, table[4:]) == pytest.approx(whole[4:], abs=1e-5)


def test_mixing_blends_images_and_labels_alike_and_keeps_unknown():
    from cxr_tasks.train.data.augment import mix_batch

    images = np.stack([np.full((4, 4, 1), value, np.float32) for value in (0.0, 1.0)])
    labels = np.array([[0, 1], [1, np.nan]], np.float32)
    mixed, mixed_labels = mix_batch(images, labels, draws_of(2, mix=0.5), 0.4)  # a share of 0.2
    assert mixed.numpy()[:, 0, 0, 0] == pytest.approx([0.2, 0.8])
    assert mixed_labels.numpy()[:, 0] == pytest.approx([0.2, 0.8])
    assert np.isnan(mixed_labels.numpy()[:, 1]).all()


@pytest.mark.parametrize("setting", [{"rotate_degrees": 90}, {"crop": 1.5}, {"noise": -0.1}, {"mix": 0.9}])
def test_augmentation_beyond_reason_is_refused(setting):
    with pytest.raises(ConfigurationError, match=next(iter(setting))):
        AugmentSpec(**setting)

"""X-ray-safe augmentation of a batch: one projective transform, then changes of exposure, sharpness and noise.

Every random number comes in as an argument, drawn by ``draw_table`` from (seed, epoch, image), so an epoch can be
repeated to the bit after a kill. Layers of Keras that draw inside a parallel map cannot.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from cxr_tasks.contracts.train_specs import AugmentSpec

#: Uniform draws in [0, 1) per image; the order is that of ``_DRAWS``.
_DRAWS = (
    "rotate", "zoom", "stretch", "shift_x", "shift_y", "flip",
    "crop_width", "crop_height", "crop_x", "crop_y",
    "brightness", "contrast", "gamma", "tone_1", "tone_2", "tone_3",
    "field_x", "field_y", "blur", "blur_width", "noise",
    "erase", "erase_x", "erase_y", "erase_width", "erase_height",
    "mix",
)  # fmt: skip
N_DRAWS = len(_DRAWS)

#: Widths of the blur, in pixels of the stored image: the standard deviation is drawn up to this.
LARGEST_BLUR_PX = 1.5
BLUR_TAPS = 7
#: Sides of an erased rectangle, as shares of the image side.
ERASED_SIDE = (0.1, 0.35)


def draw_table(seed: int, epoch: int, n_images: int) -> np.ndarray:
    """Draws of one epoch, float32 ``(n_images, N_DRAWS)`` in [0, 1); row i belongs to image i, whatever the batches."""
    return np.random.default_rng([seed, epoch, 1]).random((n_images, N_DRAWS), dtype=np.float32)


def augment_batch(images: tf.Tensor, draws: tf.Tensor, noise_seed: tf.Tensor, spec: AugmentSpec) -> tf.Tensor:
    """``images`` (float32 ``(n, size, size, 1)`` in [0, 1]) as another patient and machine might give them.

    Args:
        draws: float32 ``(n, N_DRAWS)``, rows of ``draw_table``.
        noise_seed: int32 ``(2,)``, seed of the pixel noise of this batch.

    Returns:
        float32 of the same shape, in [0, 1]. A spec of zeros gives the images back unchanged.
    """
    draw = {name: draws[:, column] for column, name in enumerate(_DRAWS)}
    if _is_geometric(spec):
        images = _warp(images, transforms_of(draw, spec, images.shape[1]))
    images = _tone(images, draw, spec)
    if spec.illumination:
        images = _illumination(images, draw, spec.illumination)
    if spec.blur:
        images = _blur(images, draw, spec.blur)
    if spec.noise:
        grain = tf.random.stateless_normal(tf.shape(images), noise_seed)
        images = images + grain * (draw["noise"] * spec.noise)[:, None, None, None]
    if spec.erase:
        images = _erase(images, draw, noise_seed, spec.erase)
    return tf.clip_by_value(images, 0.0, 1.0)


def mix_batch(images: tf.Tensor, labels: tf.Tensor, draws: tf.Tensor, strength: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Each image blended with its neighbour in the batch, labels alike (mixup); an unknown (NaN) label stays unknown.

    The share of the neighbour is uniform in [0, ``strength``], so an image keeps at least ``1 - strength`` of itself.

    Source: Zhang et al., mixup, ICLR 2018; the share is uniform instead of Beta, which needs no rejection sampling.
    """
    share = draws[:, _DRAWS.index("mix")] * strength
    images = images + share[:, None, None, None] * (tf.roll(images, 1, axis=0) - images)
    labels = labels + share[:, None] * (tf.roll(labels, 1, axis=0) - labels)
    return images, labels


def transforms_of(draw: dict[str, tf.Tensor], spec: AugmentSpec, size_px: int) -> tf.Tensor:
    """Affine maps from output to input pixels for ``ImageProjectiveTransformV3``, float32 ``(n, 8)``.

    About the centre of the image: flip, scale (zoom, opposite stretches of the two axes, and the window of a random
    crop), rotation, then shift and the place of the crop.
    """
    angle = _both_ways(draw["rotate"]) * math.radians(spec.rotate_degrees)
    zoom = tf.exp(_both_ways(draw["zoom"]) * math.log1p(spec.zoom))
    stretch = tf.exp(_both_ways(draw["stretch"]) * 0.5 * math.log1p(spec.stretch))
    mirror = tf.where(draw["flip"] < 0.5, -1.0, 1.0) if spec.flip_horizontal else tf.ones_like(angle)
    width, height = 1.0 - spec.crop * draw["crop_width"], 1.0 - spec.crop * draw["crop_height"]
    scale_x, scale_y = mirror * zoom * stretch * width, zoom / stretch * height
    a0, a1 = tf.cos(angle) * scale_x, -tf.sin(angle) * scale_y
    b0, b1 = tf.sin(angle) * scale_x, tf.cos(angle) * scale_y
    centre = (size_px - 1) / 2
    shift_x = (_both_ways(draw["shift_x"]) * spec.shift + (draw["crop_x"] - 0.5) * (1.0 - width)) * size_px
    shift_y = (_both_ways(draw["shift_y"]) * spec.shift + (draw["crop_y"] - 0.5) * (1.0 - height)) * size_px
    a2 = centre + shift_x - a0 * centre - a1 * centre
    b2 = centre + shift_y - b0 * centre - b1 * centre
    zero = tf.zeros_like(angle)
    return tf.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=1)


def _warp(images: tf.Tensor, transforms: tf.Tensor) -> tf.Tensor:
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=images.shape[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        # Black corners would tell a turned image from a straight one; mirrored borders look like more chest.
        fill_mode="REFLECT",
    )


def _tone(images: tf.Tensor, draw: dict[str, tf.Tensor], spec: AugmentSpec) -> tf.Tensor:
    """Exposure and display curve: gamma, a random increasing curve, then contrast about the mean and brightness."""
    if spec.gamma:
        exponent = tf.exp(_both_ways(draw["gamma"]) * spec.gamma)[:, None, None, None]
        images = tf.pow(tf.maximum(images, 1e-4), exponent)
    if spec.tone:
        images = _tone_curve(images, draw, spec.tone)
    if spec.contrast:
        factor = (1.0 + _both_ways(draw["contrast"]) * spec.contrast)[:, None, None, None]
        mean = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
        images = mean + (images - mean) * factor
    if spec.brightness:
        images = images + (_both_ways(draw["brightness"]) * spec.brightness)[:, None, None, None]
    if spec.brightness or spec.contrast:
        images = tf.clip_by_value(images, 0.0, 1.0)
    return images


def _tone_curve(images: tf.Tensor, draw: dict[str, tf.Tensor], strength: float) -> tf.Tensor:
    """An increasing curve through (0, 0) and (1, 1): a sum of four ramps, each a quarter wide, with random rises.

    Detectors and viewers map dose to grey by such curves; a network must not tell classes apart by them.
    """
    logits = tf.stack([_both_ways(draw[name]) * strength for name in ("tone_1", "tone_2", "tone_3")], axis=1)
    rises = 4.0 * tf.nn.softmax(tf.concat([logits, tf.zeros_like(logits[:, :1])], axis=1), axis=1)
    curved = tf.zeros_like(images)
    for quarter in range(4):
        ramp = tf.clip_by_value(images - 0.25 * quarter, 0.0, 0.25)
        curved += rises[:, quarter, None, None, None] * ramp
    return curved


def _illumination(images: tf.Tensor, draw: dict[str, tf.Tensor], strength: float) -> tf.Tensor:
    """A linear fall-off of exposure over the field (heel effect, off-centre beam, scatter)."""
    size = images.shape[1]
    axis = tf.linspace(-1.0, 1.0, size)
    slope_x = (_both_ways(draw["field_x"]) * strength)[:, None, None]
    slope_y = (_both_ways(draw["field_y"]) * strength)[:, None, None]
    field = 1.0 + slope_x * axis[None, None, :] + slope_y * axis[None, :, None]
    return images * field[..., None]


def _blur(images: tf.Tensor, draw: dict[str, tf.Tensor], probability: float) -> tf.Tensor:
    """A Gaussian blur of random width for a share of the images: sources differ in resolution and compression."""
    sigma = tf.where(draw["blur"] < probability, 0.3 + (LARGEST_BLUR_PX - 0.3) * draw["blur_width"], 1e-3)
    offsets = tf.range(BLUR_TAPS, dtype=tf.float32) - BLUR_TAPS // 2
    taps = tf.exp(-0.5 * tf.square(offsets[None, :] / sigma[:, None]))
    taps = taps / tf.reduce_sum(taps, axis=1, keepdims=True)
    for axis in (1, 2):
        images = _weighted_neighbours(images, taps, axis)
    return images


def _weighted_neighbours(images: tf.Tensor, taps: tf.Tensor, axis: int) -> tf.Tensor:
    """Sum over shifted copies along ``axis``, each image with weights of its own (a convolution has one kernel)."""
    half = BLUR_TAPS // 2
    paddings = [[0, 0]] * 4
    paddings[axis] = [half, half]
    padded = tf.pad(images, paddings, mode="SYMMETRIC")
    size = images.shape[axis]
    total = tf.zeros_like(images)
    for tap in range(BLUR_TAPS):
        window = padded[:, tap : tap + size] if axis == 1 else padded[:, :, tap : tap + size]
        total += taps[:, tap, None, None, None] * window
    return total


def _erase(images: tf.Tensor, draw: dict[str, tf.Tensor], noise_seed: tf.Tensor, probability: float) -> tf.Tensor:
    """A rectangle replaced by noise in a share of the images, so that no single spot decides.

    Source: Zhong et al., Random Erasing, AAAI 2020.
    """
    axis = (tf.range(images.shape[1], dtype=tf.float32) + 0.5) / images.shape[1]
    low, high = ERASED_SIDE
    half_width = 0.5 * (low + (high - low) * draw["erase_width"])
    half_height = 0.5 * (low + (high - low) * draw["erase_height"])
    in_x = tf.abs(axis[None, :] - draw["erase_x"][:, None]) < half_width[:, None]
    in_y = tf.abs(axis[None, :] - draw["erase_y"][:, None]) < half_height[:, None]
    chosen = (draw["erase"] < probability)[:, None, None]
    inside = (in_y[:, :, None] & in_x[:, None, :] & chosen)[..., None]
    filling = tf.random.stateless_uniform(tf.shape(images), noise_seed + 1)
    return tf.where(inside, filling, images)


def _both_ways(draw: tf.Tensor) -> tf.Tensor:
    """[0, 1) as [-1, 1)."""
    return 2.0 * draw - 1.0


def _is_geometric(spec: AugmentSpec) -> bool:
    return bool(spec.rotate_degrees or spec.zoom or spec.stretch or spec.shift or spec.crop or spec.flip_horizontal)

"""What is drawn onto a chest: pneumonia with its place, and things that are not pneumonia."""

from __future__ import annotations

from typing import Literal

import numpy as np

from cxr_tasks.sources.phantoms.drawing.anatomy import Anatomy, Layers
from cxr_tasks.sources.phantoms.drawing.noise import clouds, fractal

Kind = Literal["bacteria", "virus"]


def draw_pneumonia(kind: Kind, anatomy: Anatomy, layers: Layers, rng: np.random.Generator) -> list[np.ndarray]:
    """The opacities of one pneumonia, each as added attenuation, float32 (height, width).

    ``bacteria``: one consolidation, rarely two, dense and fluffy at the rim. ``virus``: two to four fainter patches on
    both sides. Both are mottled by air that is left in the bronchi, which is what tells them from a soft-tissue shadow.
    """
    if kind == "bacteria":
        places, radius, strength = (2 if rng.random() < 0.2 else 1), (0.16, 0.30), (0.20, 0.36)
    else:
        places, radius, strength = int(rng.integers(2, 5)), (0.13, 0.22), (0.15, 0.26)
    first_side = rng.choice([-1, 1])
    opacities = []
    for number in range(places):
        side = first_side * (-1) ** number
        floor = anatomy.diaphragm_left if side > 0 else anatomy.diaphragm_right
        centre = (
            side * (anatomy.lung_centre + rng.uniform(-0.45, 0.45) * anatomy.lung_half_width),
            anatomy.lung_top + rng.uniform(0.30, 0.88) * (floor - anatomy.lung_top),
        )
        opacities.append(_patch(centre, rng.uniform(*radius), rng.uniform(*strength), layers, rng))
    return opacities


def _patch(
    centre: tuple[float, float],
    radius: float,
    strength: float,
    layers: Layers,
    rng: np.random.Generator,
) -> np.ndarray:
    x, y = layers.x, layers.y
    stretch = rng.uniform(0.75, 1.35)
    distance = np.sqrt(_squared_distance(x * stretch, y / stretch, centre[0] * stretch, centre[1] / stretch))
    # The rim is torn by noise, so no two patches share an outline.
    torn = distance / np.float32(radius) + np.float32(0.22) * fractal(rng, x.shape, 9, 2)
    core = 0.5 - 0.5 * np.tanh((torn - 1) * np.float32(3.5))
    near = np.exp(-np.maximum(distance / np.float32(radius) - np.float32(1.2), 0) * np.float32(6))
    mottle = np.clip(1 + np.float32(0.40) * fractal(rng, x.shape, 24, 2), 0, 2)
    return np.float32(strength) * core * near * mottle * layers.lung


def _squared_distance(x: np.ndarray, y: np.ndarray, centre_x: float, centre_y: float) -> np.ndarray:
    # Several times faster than np.hypot, which guards against overflow.
    dx, dy = x - np.float32(centre_x), y - np.float32(centre_y)
    return dx * dx + dy * dy


def draw_distractors(layers: Layers, rng: np.random.Generator) -> np.ndarray:
    """Attenuation of what any chest may show, ill or not: soft shadows, nipples, leads, tubes, side markers."""
    x, y = layers.x, layers.y
    added = np.zeros_like(x)
    for _ in range(int(rng.integers(1, 5))):
        added += _soft_shadow(x, y, rng)
    if rng.random() < 0.25:
        added += _nipples(x, y, rng)
    if rng.random() < 0.35:
        added += _tube(x, y, rng)
    if rng.random() < 0.30:
        added += _electrodes(x, y, rng)
    if rng.random() < 0.6:
        added += _side_marker(x, y, rng)
    return added


def _soft_shadow(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    # Breast, scapula, skin fold, pad: smooth, as large and as dense as a consolidation, without mottle.
    centre_x, centre_y = rng.uniform(-0.8, 0.8), rng.uniform(-0.6, 0.6)
    stretch, radius = rng.uniform(0.7, 1.4), rng.uniform(0.18, 0.4)
    distance2 = _squared_distance(x * stretch, y, centre_x * stretch, centre_y)
    return np.float32(rng.uniform(-0.05, 0.22)) * np.exp(distance2 * np.float32(-1 / radius**2))


def _nipples(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    apart, height = rng.uniform(0.4, 0.6), rng.uniform(0.1, 0.4)
    distance2 = _squared_distance(np.abs(x), y, apart, height)
    return np.float32(rng.uniform(0.06, 0.14)) * (distance2 < rng.uniform(0.03, 0.05) ** 2)


def _tube(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    start, slope, bend = rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5), rng.uniform(-0.4, 0.4)
    across = x - np.float32(start) - np.float32(slope) * y - np.float32(bend) * y * y
    long_enough = y < rng.uniform(-0.1, 0.6)
    return np.float32(rng.uniform(0.15, 0.35)) * (np.abs(across) < 0.012) * long_enough


def _electrodes(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    added = np.zeros_like(x)
    for _ in range(int(rng.integers(1, 4))):
        distance2 = _squared_distance(x, y, rng.uniform(-0.8, 0.8), rng.uniform(-0.7, 0.6))
        added += np.float32(rng.uniform(0.2, 0.4)) * (distance2 < 0.03**2)
    return added


def _side_marker(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    corner_x, corner_y = rng.choice([-1, 1]) * rng.uniform(0.8, 1.0), rng.uniform(-0.95, -0.7)
    inside = (np.abs(x - np.float32(corner_x)) < 0.05) & (np.abs(y - np.float32(corner_y)) < 0.07)
    hollow = (np.abs(x - np.float32(corner_x)) < 0.02) & (np.abs(y - np.float32(corner_y)) < 0.04)
    return np.float32(0.6) * (inside & ~hollow)


def haze(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Scatter and uneven exposure: a broad field without edges, so that no single pixel's grey tells anything."""
    return np.float32(rng.uniform(0.02, 0.10)) * clouds(rng, shape, 2.5)

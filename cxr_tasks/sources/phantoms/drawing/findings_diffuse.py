"""Signs of a whole chest: edema, emphysema, fibrosis, cardiomegaly, hernia.

Each function gives the changes of attenuation, float32 (height, width), one per box; 0 where nothing changes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cxr_tasks.sources.phantoms.drawing.anatomy import AIR_CONTRAST, HEART_COVER, Anatomy, Layers, edge, heart_shape
from cxr_tasks.sources.phantoms.drawing.noise import clouds
from cxr_tasks.sources.phantoms.drawing.places import disc, distance, draw_sides, lung_frame


def edema(anatomy: Anatomy, layers: Layers, rng: np.random.Generator) -> list[np.ndarray]:
    """Haze around both hila like the wings of a bat, and short lines at the chest wall (Kerley B); one box in all."""
    change = np.zeros_like(layers.x)
    radius, height = np.float32(rng.uniform(0.24, 0.34)), rng.uniform(-0.12, 0.05)
    strength, lines = np.float32(rng.uniform(0.20, 0.30)), np.float32(rng.uniform(0.16, 0.24))
    spacing = rng.uniform(0.065, 0.09)
    for side in (-1, 1):
        frame = lung_frame(anatomy, layers, side)
        away = distance(layers, (side * (anatomy.lung_centre - 0.4 * anatomy.lung_half_width), height)) / radius
        wing = strength * np.exp(-(away**4)) * (1 + np.float32(0.15) * clouds(rng, layers.x.shape, 12))
        wave = np.cos(layers.y * np.float32(2 * np.pi / spacing))
        wall = edge(frame.to_wall - np.float32(0.55), 0.05) * edge(frame.down - np.float32(0.55), 0.04)
        kerley = lines * np.maximum(wave - np.float32(0.2), 0) * wall
        change += (wing + kerley) * frame.here
    return [change * layers.lung]


def emphysema(anatomy: Anatomy, layers: Layers, rng: np.random.Generator) -> list[np.ndarray]:
    """Lungs with too much air: darker, reaching lower, the diaphragm flat instead of domed; one box in all."""
    change = np.float32(-rng.uniform(0.06, 0.10)) * layers.lung
    lower_by = rng.uniform(0.10, 0.17)
    for side in (-1, 1):
        frame = lung_frame(anatomy, layers, side)
        flat = edge(np.float32(frame.floor + lower_by) - layers.y, 0.015)
        below = edge(layers.y - np.float32(frame.floor - 0.1), 0.02)
        sides = edge(1 - np.abs(frame.across), 0.04)
        more = np.maximum(flat * below * sides - layers.lung, 0) * frame.here * (1 - np.float32(0.6) * layers.heart)
        change -= np.float32(AIR_CONTRAST) * more
    return [change]


def fibrosis(anatomy: Anatomy, layers: Layers, rng: np.random.Generator) -> list[np.ndarray]:
    """A net of fine bright lines in the lower outer lung, on one side or both."""
    changes = []
    for side in draw_sides(rng, 0.6):
        frame = lung_frame(anatomy, layers, side)
        net = np.maximum(1 - np.abs(clouds(rng, layers.x.shape, rng.uniform(16, 21))) * np.float32(2.5), 0)
        centre = (side * (anatomy.lung_centre + 0.25 * anatomy.lung_half_width), frame.floor - rng.uniform(0.15, 0.45))
        zone = edge(1 - distance(layers, centre) / np.float32(rng.uniform(0.28, 0.40)), 0.12)
        changes.append(np.float32(rng.uniform(0.30, 0.42)) * net * zone * layers.lung * frame.here)
    return changes


def cardiomegaly(anatomy: Anatomy, layers: Layers, rng: np.random.Generator) -> list[np.ndarray]:
    """A heart wider than any healthy one: its shadow takes the place of lung on both sides."""
    radius = max(0.42, 1.15 * anatomy.heart_radius) + rng.uniform(0, 0.08)
    wide = replace(anatomy, heart_radius=radius, heart_shift=anatomy.heart_shift * rng.uniform(0.6, 1.2))
    cover = np.maximum(heart_shape(wide, layers.x, layers.y), layers.heart)
    air = layers.lung * (1 - HEART_COVER * cover) / (1 - HEART_COVER * layers.heart)
    return [np.float32(AIR_CONTRAST) * (layers.lung - air)]


def hernia(anatomy: Anatomy, layers: Layers, rng: np.random.Generator) -> list[np.ndarray]:
    """A stomach behind the heart: a round rim with dark air above a level and fluid below it."""
    centre = (rng.uniform(-0.08, 0.16), anatomy.diaphragm_left - rng.uniform(0.10, 0.24))
    radius = rng.uniform(0.16, 0.23)
    whole, inner = disc(layers, centre, radius, 0.012), disc(layers, centre, radius - 0.03, 0.012)
    level = edge(layers.y - np.float32(centre[1] + rng.uniform(-0.05, 0.05)), 0.008)
    air = np.float32(rng.uniform(0.26, 0.38)) * inner * (1 - level)
    return [np.float32(rng.uniform(0.12, 0.20)) * whole - air]

"""Signs along the chest wall: effusion, pneumothorax, pleural thickening.

Each function gives the changes of attenuation, float32 (height, width), one per side; 0 where nothing changes.
"""

from __future__ import annotations

import numpy as np

from cxr_tasks.sources.phantoms.drawing.anatomy import Anatomy, Layers, edge
from cxr_tasks.sources.phantoms.drawing.noise import clouds
from cxr_tasks.sources.phantoms.drawing.places import draw_sides, lung_frame


def pleural_effusion(anatomy: Anatomy, layers: Layers, rng: np.random.Generator) -> list[np.ndarray]:
    """A lower field filled to a surface that climbs along the chest wall (the meniscus)."""
    changes = []
    for side in draw_sides(rng, 0.3):
        frame = lung_frame(anatomy, layers, side)
        level = np.float32(frame.floor - rng.uniform(0.02, 0.32))
        climb = np.float32(rng.uniform(0.14, 0.24))
        surface = level - climb * np.clip(frame.across + np.float32(0.4), 0, 2) ** 2
        filled = edge(layers.y - surface, 0.02)
        changes.append(np.float32(rng.uniform(0.34, 0.44)) * filled * layers.lung * frame.here)
    return changes


def pneumothorax(anatomy: Anatomy, layers: Layers, rng: np.random.Generator) -> list[np.ndarray]:
    """Air outside a lung that has shrunk: a dark band without vessels, and the lung's edge as a thin bright line."""
    side = draw_sides(rng, 0)[0]
    frame = lung_frame(anatomy, layers, side)
    depth = np.float32(rng.uniform(0.30, 0.60))
    # Upright, air gathers at the apex.
    rim = 1 - depth * np.clip(np.float32(1.25) - frame.down, 0, 1)
    rim = rim * edge(frame.down - np.float32(rng.uniform(0.05, 0.12)), 0.05)
    outside = edge(frame.to_wall - rim, 0.03)
    line = edge(np.float32(0.05) - np.abs(frame.to_wall - rim), 0.02)
    dark = np.float32(rng.uniform(0.09, 0.13)) * outside
    bright = np.float32(rng.uniform(0.16, 0.24)) * line
    end = edge(np.float32(rng.uniform(0.75, 1.0)) - frame.down, 0.06)
    return [(bright - dark) * end * layers.lung * frame.here]


def pleural_thickening(anatomy: Anatomy, layers: Layers, rng: np.random.Generator) -> list[np.ndarray]:
    """A bright band along the chest wall, uneven towards the lung, over a part of its height."""
    changes = []
    for side in draw_sides(rng, 0.3):
        frame = lung_frame(anatomy, layers, side)
        thickness = np.float32(rng.uniform(0.28, 0.44)) * (1 + np.float32(0.3) * clouds(rng, layers.x.shape, 10))
        band = edge(frame.to_wall - (1 - thickness), 0.04)
        top, height = rng.uniform(0.10, 0.40), rng.uniform(0.35, 0.5)
        part = edge(frame.down - np.float32(top), 0.03) * edge(np.float32(top + height) - frame.down, 0.03)
        changes.append(np.float32(rng.uniform(0.28, 0.40)) * band * part * layers.lung * frame.here)
    return changes

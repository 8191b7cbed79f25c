"""Signs that fill a place in one lung: consolidation, pneumonia, infiltration, mass, nodule, atelectasis.

Each function gives the changes of attenuation, float32 (height, width), one per place; 0 where nothing changes.
"""

from __future__ import annotations

import numpy as np

from cxr_tasks.sources.phantoms.drawing.anatomy import Anatomy, Layers, edge
from cxr_tasks.sources.phantoms.drawing.noise import clouds, fractal
from cxr_tasks.sources.phantoms.drawing.places import disc, distance, draw_sides, lung_frame, place_in_lung


def consolidation(anatomy: Anatomy, layers: Layers, rng: np.random.Generator) -> list[np.ndarray]:
    """A dense, even area with a torn rim that ends straight at a fissure."""
    centre = place_in_lung(anatomy, layers, rng, side=draw_sides(rng, 0)[0])
    away = distance(layers, centre) / np.float32(rng.uniform(0.18, 0.28))
    torn = away + np.float32(0.12) * fractal(rng, layers.x.shape, 9, 2)
    tilt, offset = rng.uniform(-0.35, 0.35), rng.uniform(0.02, 0.08)
    above = 1 if rng.random() < 0.5 else -1
    fissure = above * (layers.y - np.float32(centre[1]) - np.float32(tilt) * (layers.x - np.float32(centre[0])))
    area = edge(1 - torn, 0.08) * edge(np.float32(offset) + fissure, 0.012)
    return [np.float32(rng.uniform(0.26, 0.38)) * area * layers.lung]


def pneumonia(anatomy: Anatomy, layers: Layers, rng: np.random.Generator) -> list[np.ndarray]:
    """A lobe clouded around bronchi that still hold air: dark lines that spread out from the hilum."""
    side = draw_sides(rng, 0)[0]
    centre = place_in_lung(anatomy, layers, rng, side=side, across=(-0.2, 0.4), down=(0.35, 0.8))
    away = distance(layers, centre) / np.float32(rng.uniform(0.22, 0.32))
    core = edge(1 - away - np.float32(0.10) * clouds(rng, layers.x.shape, 9), 0.15)
    dx = layers.x * np.float32(side) - np.float32(0.10)
    dy = layers.y + np.float32(0.05)
    from_hilum = np.sqrt(dx * dx + dy * dy)
    n_branches, turn = rng.uniform(7, 10), rng.uniform(0, np.pi)
    across_branch = np.abs(np.sin(np.arctan2(dy, dx) * np.float32(n_branches) + np.float32(turn)))
    air = edge(np.float32(0.024) - across_branch * from_hilum / np.float32(n_branches), 0.007)
    return [np.float32(rng.uniform(0.24, 0.36)) * core * (1 - air) * layers.lung]


def infiltration(anatomy: Anatomy, layers: Layers, rng: np.random.Generator) -> list[np.ndarray]:
    """Small faint patches with soft rims, scattered over a part of one lung or both."""
    changes = []
    for side in draw_sides(rng, 0.35):
        middle = place_in_lung(anatomy, layers, rng, side=side, across=(-0.3, 0.4), down=(0.3, 0.75))
        patches = np.zeros_like(layers.x)
        for _ in range(int(rng.integers(6, 10))):
            centre = middle[0] + rng.normal(0, 0.10), middle[1] + rng.normal(0, 0.14)
            away = distance(layers, centre) / np.float32(rng.uniform(0.055, 0.085))
            patches = np.maximum(patches, np.exp(-away * away) * np.float32(rng.uniform(0.7, 1)))
        changes.append(np.float32(rng.uniform(0.20, 0.30)) * patches * layers.lung)
    return changes


def mass(anatomy: Anatomy, layers: Layers, rng: np.random.Generator) -> list[np.ndarray]:
    """One round dense shadow of more than 3 cm (0.2 thorax units), its rim lobed."""
    centre = place_in_lung(anatomy, layers, rng, side=draw_sides(rng, 0)[0], across=(-0.4, 0.5), down=(0.2, 0.8))
    radius = np.float32(rng.uniform(0.130, 0.19))
    lobes = np.float32(0.06) * clouds(rng, layers.x.shape, 7)
    ball = edge(1 - distance(layers, centre) / radius - lobes, 0.07)
    return [np.float32(rng.uniform(0.30, 0.42)) * ball * np.maximum(layers.lung, np.float32(0.2))]


def nodule(anatomy: Anatomy, layers: Layers, rng: np.random.Generator) -> list[np.ndarray]:
    """One or two round dense spots of less than 3 cm, sharp all around."""
    changes = []
    for side in draw_sides(rng, 0.3):
        centre = place_in_lung(anatomy, layers, rng, side=side, across=(-0.5, 0.6), down=(0.2, 0.85))
        spot = disc(layers, centre, rng.uniform(0.065, 0.090), 0.012)
        changes.append(np.float32(rng.uniform(0.32, 0.44)) * spot * np.maximum(layers.lung, np.float32(0.2)))
    return changes


def atelectasis(anatomy: Anatomy, layers: Layers, rng: np.random.Generator) -> list[np.ndarray]:
    """One to three plates across a lower field whose diaphragm stands high: the lung has lost volume."""
    side = draw_sides(rng, 0)[0]
    frame = lung_frame(anatomy, layers, side)
    raise_by = np.float32(rng.uniform(0.08, 0.15))
    dome = np.float32(frame.floor) - raise_by + np.float32(0.14) * frame.across**2
    change = np.float32(0.40) * edge(layers.y - dome, 0.015) * edge(np.float32(1.3) - np.abs(frame.across), 0.05)
    tilt = np.float32(rng.uniform(-0.25, 0.25))
    first, n_plates = frame.floor - float(raise_by) - rng.uniform(0.09, 0.20), int(rng.integers(1, 4))
    for number in range(n_plates):
        line = np.float32(first - number * rng.uniform(0.10, 0.14)) + tilt * frame.across * np.float32(0.3)
        thick = edge(np.float32(rng.uniform(0.018, 0.028)) - np.abs(layers.y - line), 0.007)
        length = edge(
            np.float32(rng.uniform(0.5, 0.8)) - np.abs(frame.across - np.float32(rng.uniform(-0.1, 0.3))), 0.05
        )
        change = np.maximum(change, np.float32(rng.uniform(0.24, 0.34)) * thick * length)
    return [change * layers.lung * frame.here]

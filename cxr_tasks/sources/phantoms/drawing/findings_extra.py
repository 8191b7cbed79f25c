"""Signs that CheXpert labels and NIH does not: a wide upper mediastinum, a broken rib, an implanted device.

Each function gives the changes of attenuation, float32 (height, width), one per box; 0 where nothing changes.
"""

from __future__ import annotations

import numpy as np

from cxr_tasks.sources.phantoms.drawing.anatomy import AIR_CONTRAST, HEART_COVER, Anatomy, Layers, edge
from cxr_tasks.sources.phantoms.drawing.places import disc, draw_sides, place_in_lung


def enlarged_cardiomediastinum(anatomy: Anatomy, layers: Layers, rng: np.random.Generator) -> list[np.ndarray]:
    """A mediastinum that bulges into both lungs above the heart."""
    height, tall = np.float32(rng.uniform(-0.42, -0.30)), np.float32(rng.uniform(0.22, 0.30))
    bulge = np.float32(rng.uniform(0.14, 0.20)) * np.exp(-(((layers.y - height) / tall) ** 4))
    cover = np.maximum(edge(np.float32(0.14) + bulge - np.abs(layers.x), 0.02), layers.heart)
    air = layers.lung * (1 - HEART_COVER * cover) / (1 - HEART_COVER * layers.heart)
    return [np.float32(AIR_CONTRAST) * (layers.lung - air)]


def fracture(anatomy: Anatomy, layers: Layers, rng: np.random.Generator) -> list[np.ndarray]:
    """One to three healing ribs of one side: a bright knob of callus with a dark gap through it."""
    side, change = draw_sides(rng, 0)[0], np.zeros_like(layers.x)
    for _ in range(int(rng.integers(1, 4))):
        centre = place_in_lung(anatomy, layers, rng, side=side, across=(0.4, 0.9), down=(0.2, 0.8))
        dx, dy = layers.x - np.float32(centre[0]), layers.y - np.float32(centre[1])
        knob = edge(1 - np.sqrt((dx / np.float32(0.075)) ** 2 + (dy / np.float32(0.045)) ** 2), 0.12)
        gap = edge(np.float32(0.014) - np.abs(dx - np.float32(rng.uniform(-0.4, 0.4)) * dy), 0.006)
        change = np.maximum(change, np.float32(rng.uniform(0.26, 0.36)) * knob * (1 - gap))
    return [change]


def support_devices(anatomy: Anatomy, layers: Layers, rng: np.random.Generator) -> list[np.ndarray]:
    """A pacemaker: its metal case below a clavicle, and a lead that runs from it to the heart."""
    side = -1 if rng.random() < 0.2 else 1
    case = (side * rng.uniform(0.50, 0.66), rng.uniform(-0.52, -0.36))
    dx, dy = layers.x - np.float32(case[0]), layers.y - np.float32(case[1])
    metal = edge(1 - ((dx / np.float32(0.11)) ** 4 + (dy / np.float32(0.085)) ** 4), 0.15)
    tip = (anatomy.heart_shift + rng.uniform(0.0, 0.1), anatomy.diaphragm_left - anatomy.heart_radius * 0.6)
    along = np.clip((layers.y - np.float32(case[1])) / np.float32(tip[1] - case[1]), 0, 1)
    # The lead first runs to the middle, then down.
    course = np.float32(case[0]) + np.float32(tip[0] - case[0]) * (1 - (1 - along) ** np.float32(rng.uniform(2, 3.5)))
    inside = (layers.y > np.float32(case[1])) & (layers.y < np.float32(tip[1]))
    lead = edge(np.float32(0.014) - np.abs(layers.x - course), 0.006) * inside
    tipped = np.maximum(lead, disc(layers, tip, 0.025, 0.008))
    return [np.maximum(np.float32(0.55) * metal, np.float32(0.32) * tipped)]

"""Where in a chest a finding lies: coordinates of one lung, places inside it, shapes that end sharply."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cxr_tasks.sources.phantoms.drawing.anatomy import Anatomy, Layers, edge

#: Attenuation below which a sign is not seen; what is left of a sign ends at its own edge, so that a box can hold it.
UNSEEN = 0.012


@dataclass(frozen=True, slots=True, kw_only=True)
class LungFrame:
    """Coordinates of one lung; every array float32, (height, width)."""

    side: int
    """1: the patient's left lung, right in the picture; -1: the other."""
    across: np.ndarray
    """-1 at the mediastinum to 1 at the chest wall, where the lung is widest."""
    down: np.ndarray
    """0 at the apex to 1 at the diaphragm."""
    to_wall: np.ndarray
    """0 at the lung's mid-line to 1 at the chest wall, at any height; below 0 towards the mediastinum."""
    here: np.ndarray
    """1 on this side of the mid-line, else 0."""
    floor: float
    """Height ``y`` of the dome of the diaphragm."""


def lung_frame(anatomy: Anatomy, layers: Layers, side: int) -> LungFrame:
    """The coordinates of the lung on ``side``."""
    floor = anatomy.diaphragm_left if side > 0 else anatomy.diaphragm_right
    outward = layers.x * np.float32(side)
    across = (outward - np.float32(anatomy.lung_centre)) / np.float32(anatomy.lung_half_width)
    down = (layers.y - np.float32(anatomy.lung_top)) / np.float32(floor - anatomy.lung_top)
    half_width = np.sqrt(np.clip(1 - (1 - np.clip(down, 0, 1)) ** 2.6, 0.01, 1))
    return LungFrame(
        side=side,
        across=across,
        down=down,
        to_wall=across / half_width,
        here=(outward > 0).astype(np.float32),
        floor=floor,
    )


def draw_sides(rng: np.random.Generator, both_share: float) -> list[int]:
    """One side, or both with this probability; the first one is random."""
    first = int(rng.choice([-1, 1]))
    return [first, -first] if rng.random() < both_share else [first]


def place_in_lung(
    anatomy: Anatomy,
    layers: Layers,
    rng: np.random.Generator,
    *,
    side: int,
    across: tuple[float, float] = (-0.5, 0.6),
    down: tuple[float, float] = (0.25, 0.85),
) -> tuple[float, float]:
    """Thorax coordinates of a random place between these lung coordinates that is filled with air, not behind heart."""
    floor = anatomy.diaphragm_left if side > 0 else anatomy.diaphragm_right
    best, best_air = (0.0, 0.0), -1.0
    for _ in range(8):
        x = side * (anatomy.lung_centre + rng.uniform(*across) * anatomy.lung_half_width)
        y = anatomy.lung_top + rng.uniform(*down) * (floor - anatomy.lung_top)
        air = _value_at(layers, layers.lung, x, y)
        if air > best_air:
            best, best_air = (x, y), air
        if air > 0.8:
            break
    return best


def _value_at(layers: Layers, values: np.ndarray, x: float, y: float) -> float:
    # The picture is tilted by a few degrees at most: the nearest column and row are found along its middle lines.
    row = int(np.abs(layers.y[:, layers.y.shape[1] // 2] - y).argmin())
    column = int(np.abs(layers.x[row] - x).argmin())
    return float(values[row, column])


def disc(layers: Layers, centre: tuple[float, float], radius: float, softness: float) -> np.ndarray:
    """1 inside a circle to 0 outside."""
    return edge(np.float32(radius) - distance(layers, centre), softness)


def distance(layers: Layers, centre: tuple[float, float]) -> np.ndarray:
    """Distance of every pixel to a point, in thorax units."""
    dx, dy = layers.x - np.float32(centre[0]), layers.y - np.float32(centre[1])
    return np.sqrt(dx * dx + dy * dy)


def seen(change: np.ndarray) -> np.ndarray:
    """The change without what nobody sees: exactly 0 there, and no step at its border."""
    return np.sign(change) * np.maximum(np.abs(change) - np.float32(UNSEEN), 0)

"""A chest as layers of attenuation: body, lungs, ribs, spine, clavicles, heart, diaphragm, vessels.

Coordinates are the thorax's own: ``x`` from -1 (the patient's right side, left in the picture) to 1, ``y`` from -1
(top) to 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from cxr_tasks.sources.phantoms.drawing.noise import clouds, fractal

#: What air in a lung takes off the attenuation of soft tissue.
AIR_CONTRAST = 0.46
#: Share of the air that the heart in front of it hides.
HEART_COVER = 0.85


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """What stays the same in every image of one patient; lengths in thorax units."""

    lung_half_width: float
    lung_centre: float
    lung_top: float
    diaphragm_right: float
    diaphragm_left: float
    body_half_width: float
    rib_spacing: float
    rib_slope: float
    rib_curve: float
    rib_strength: float
    clavicle_tilt: float
    spine_half_width: float
    heart_radius: float
    heart_shift: float
    heart_tilt: float
    hilum_strength: float
    vessel_strength: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """A random chest, from thin to stout, from a small heart to a large one."""
        diaphragm = rng.uniform(0.42, 0.72)
        return cls(
            lung_half_width=rng.uniform(0.27, 0.36),
            lung_centre=rng.uniform(0.40, 0.46),
            lung_top=rng.uniform(-0.86, -0.72),
            diaphragm_right=diaphragm - rng.uniform(0.0, 0.10),
            diaphragm_left=diaphragm,
            body_half_width=rng.uniform(0.86, 1.02),
            rib_spacing=rng.uniform(0.15, 0.21),
            rib_slope=rng.uniform(0.05, 0.45),
            rib_curve=rng.uniform(0.3, 0.9),
            rib_strength=rng.uniform(0.05, 0.14),
            clavicle_tilt=rng.uniform(-0.25, 0.15),
            spine_half_width=rng.uniform(0.09, 0.13),
            heart_radius=rng.uniform(0.24, 0.36),
            heart_shift=rng.uniform(0.05, 0.16),
            heart_tilt=rng.uniform(0.3, 0.8),
            hilum_strength=rng.uniform(0.06, 0.20),
            vessel_strength=rng.uniform(0.03, 0.08),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """A chest on a picture; every array float32, (height, width)."""

    x: np.ndarray
    y: np.ndarray
    attenuation: np.ndarray
    """Summed over all tissue; about 0 in free air, 0.2 in lung, 0.6 in soft tissue, 1 in the spine."""
    lung: np.ndarray
    """How much of a pixel is air-filled lung, 0 to 1."""
    heart: np.ndarray
    """How much of a pixel is heart or mediastinum, 0 to 1; ``lung`` holds little of what lies behind it."""


def draw_layers(anatomy: Anatomy, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Layers:
    """The chest at thorax coordinates ``x``, ``y`` (each (height, width)); ``rng`` draws vessels and tissue grain."""
    side = np.abs(x)
    body = _body(anatomy, side, y)
    heart = heart_shape(anatomy, x, y)
    air = _lung(anatomy, x, y) * (1 - HEART_COVER * heart)
    ribs = _ribs(anatomy, side, y) * body
    attenuation = 0.62 * body - AIR_CONTRAST * air + anatomy.rib_strength * ribs
    attenuation += 0.20 * _spine(anatomy, side, y) + 0.16 * _clavicles(anatomy, side, y)
    attenuation += _vessels(anatomy, x, y, rng) * air
    attenuation += 0.02 * fractal(rng, x.shape, 10, 2) * body
    return Layers(x=x, y=y, attenuation=attenuation, lung=air, heart=heart)


def edge(signed_distance: np.ndarray, softness: float) -> np.ndarray:
    """0 outside to 1 inside, by the sign of the distance; a ramp over twice ``softness`` to each side."""
    return np.clip(signed_distance * np.float32(0.25 / softness) + np.float32(0.5), 0, 1)


def _body(anatomy: Anatomy, side: np.ndarray, y: np.ndarray) -> np.ndarray:
    trunk = edge(np.float32(anatomy.body_half_width) + np.float32(0.05) * y - side, 0.02)
    # Shoulders fall away from the neck and run into the arms at the picture's edge.
    shoulder = np.float32(anatomy.lung_top - 0.16) + np.float32(0.55) * np.maximum(side - np.float32(0.28), 0) ** 1.5
    below_shoulder = edge(y - shoulder, 0.02)
    neck = edge(np.float32(0.28) - side, 0.03)
    arm = edge(side - np.float32(anatomy.body_half_width), 0.02) * edge(np.float32(-0.25) - y, 0.06)
    return np.maximum(np.maximum(trunk, arm) * below_shoulder, neck * edge(np.float32(-0.5) - y, 0.02))


def _lung(anatomy: Anatomy, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    centre = np.where(x < 0, np.float32(-anatomy.lung_centre), np.float32(anatomy.lung_centre))
    floor = np.where(x < 0, np.float32(anatomy.diaphragm_right), np.float32(anatomy.diaphragm_left))
    across = (x - centre) / np.float32(anatomy.lung_half_width)
    down = (y - np.float32(anatomy.lung_top)) / (floor - np.float32(anatomy.lung_top))
    # Narrow at the apex, widest two thirds down; the diaphragm is a dome.
    half_width = np.sqrt(np.clip(1 - (1 - np.clip(down, 0, 1)) ** 2.6, 0, 1))
    sides = edge(half_width - np.abs(across), 0.04)
    dome = edge(floor + np.float32(0.14) * across**2 - y, 0.015)
    return sides * dome * edge(down, 0.03)


def heart_shape(anatomy: Anatomy, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How much of a pixel is heart or mediastinum, 0 to 1."""
    centre_y = anatomy.diaphragm_left - 0.85 * anatomy.heart_radius
    dx, dy = x - np.float32(anatomy.heart_shift), y - np.float32(centre_y)
    cos, sin = np.float32(np.cos(anatomy.heart_tilt)), np.float32(np.sin(anatomy.heart_tilt))
    along, across = dx * cos + dy * sin, dy * cos - dx * sin
    radius = np.sqrt((along / np.float32(1.25)) ** 2 + (across / np.float32(0.95)) ** 2)
    muscle = edge(np.float32(anatomy.heart_radius) - radius, 0.02)
    mediastinum = edge(np.float32(0.15) + np.float32(0.05) * y - np.abs(x), 0.02)
    return np.maximum(muscle, mediastinum)


def _ribs(anatomy: Anatomy, side: np.ndarray, y: np.ndarray) -> np.ndarray:
    # All posterior ribs are one wave along a coordinate that bends down towards the chest wall.
    bent = y - np.float32(anatomy.rib_slope) * side - np.float32(anatomy.rib_curve) * np.maximum(side - 0.45, 0) ** 2
    wave = np.cos(bent * np.float32(2 * np.pi / anatomy.rib_spacing))
    cage = edge(np.float32(0.9) - side, 0.03) * edge(side - np.float32(0.08), 0.02) * edge(np.float32(0.8) - y, 0.08)
    return np.maximum(wave - np.float32(0.1), 0) * cage


def _spine(anatomy: Anatomy, side: np.ndarray, y: np.ndarray) -> np.ndarray:
    column = edge(np.float32(anatomy.spine_half_width) - side, 0.015)
    return column * (np.float32(0.8) + np.float32(0.2) * np.cos(y * np.float32(2 * np.pi / 0.17)))


def _clavicles(anatomy: Anatomy, side: np.ndarray, y: np.ndarray) -> np.ndarray:
    line = np.float32(anatomy.lung_top + 0.14) + np.float32(anatomy.clavicle_tilt) * (side - np.float32(0.1))
    bone = np.exp(-(((y - line) / np.float32(0.035)) ** 2))
    return bone * edge(side - np.float32(0.1), 0.02) * edge(np.float32(0.82) - side, 0.03)


def _vessels(anatomy: Anatomy, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    # Ridges of a smooth field look like a branching tree; they thin out away from the hila.
    away = np.sqrt((np.abs(x) - np.float32(0.2)) ** 2 + (y + np.float32(0.05)) ** 2)
    ridges = np.maximum(1 - np.abs(clouds(rng, x.shape, 14)) * np.float32(4), 0)
    fading = np.exp(-away / np.float32(0.35))
    hilum = np.exp(-((away / np.float32(0.16)) ** 2))
    return np.float32(2 * anatomy.vessel_strength) * ridges * fading + np.float32(anatomy.hilum_strength) * hilum

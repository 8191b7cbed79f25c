"""One phantom X-ray: a patient's chest in a random pose and exposure, as grey values with the boxes of its findings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cxr_tasks.sources.phantoms.drawing.anatomy import Anatomy, Layers, draw_layers
from cxr_tasks.sources.phantoms.drawing.findings import SIGNS, draw_sign
from cxr_tasks.sources.phantoms.drawing.opacities import Kind, draw_distractors, draw_pneumonia, haze


@dataclass(frozen=True, slots=True)
class Shown:
    """A finding to draw, and how strongly: 1 for a clear case, less for one that is in doubt."""

    finding: str
    strength: float = 1.0


@dataclass(frozen=True, slots=True)
class DrawnBox:
    """What a sign changed, in pixels of the picture; nothing of it lies outside."""

    finding: str
    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomRequest:
    """Which image to draw; the same request gives the same pixels, whatever was drawn before."""

    seed: int
    patient: int
    image: int
    size_px: int
    """Nominal side; the image's own sides vary around it, whatever it shows."""
    pneumonia: Kind | None = None
    """The one finding of the Kermany data."""
    findings: tuple[Shown, ...] = ()
    """What else is shown; no finding twice."""
    is_square: bool = False
    """Both sides exactly ``size_px``, as NIH ships its images."""
    is_lateral: bool = False
    """Seen from the side: findings are not drawn, their labels come from the frontal view."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phantom:
    pixels: np.ndarray
    """uint8, (height, width)."""
    boxes: tuple[tuple[int, int, int, int], ...]
    """x, y, width, height in pixels, one per opacity of ``PhantomRequest.pneumonia``."""
    finding_boxes: tuple[DrawnBox, ...] = ()
    """Of ``PhantomRequest.findings``, in their order."""


def render(request: PhantomRequest) -> Phantom:
    """The X-ray asked for; anatomy follows the patient, everything else the image."""
    anatomy = Anatomy.draw(np.random.default_rng([request.seed, request.patient]))
    rng = np.random.default_rng([request.seed, request.patient, request.image + 1])
    x, y = _pose(request, rng)
    layers = draw_layers(anatomy, x, y, rng)
    attenuation = layers.attenuation + draw_distractors(layers, rng) + haze(x.shape, rng)
    # The window is that of the chest without the findings below: a sign changes the picture where it lies and
    # nowhere else, and the exposure tells nothing.
    window_of = attenuation.copy() if request.findings else attenuation
    boxes = []
    # The opacities have a stream of their own: an ill and a well image of one request differ in them alone.
    opacity_rng = np.random.default_rng([request.seed, request.patient, request.image + 1, 1])
    if request.pneumonia is not None:
        for opacity in draw_pneumonia(request.pneumonia, anatomy, layers, opacity_rng):
            attenuation += opacity
            boxes.append(_box(opacity))
    finding_boxes = _add_findings(request, anatomy, layers, attenuation)
    return Phantom(
        pixels=_expose(attenuation, window_of, rng),
        boxes=tuple(box for box in boxes if box is not None),
        finding_boxes=finding_boxes,
    )


def _add_findings(
    request: PhantomRequest, anatomy: Anatomy, layers: Layers, attenuation: np.ndarray
) -> tuple[DrawnBox, ...]:
    if request.is_lateral:
        return ()
    numbers = {finding: number for number, finding in enumerate(SIGNS)}
    boxes = []
    for shown in request.findings:
        # A stream per finding: none is drawn otherwise because of another.
        rng = np.random.default_rng([request.seed, request.patient, request.image + 1, 2 + numbers[shown.finding]])
        for change in draw_sign(shown.finding, shown.strength, anatomy, layers, rng):
            attenuation += change
            boxes.append(DrawnBox(shown.finding, *_bounds(change != 0)))
    return tuple(boxes)


def _pose(request: PhantomRequest, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Thorax coordinates of every pixel, float32 (height, width): size, aspect, tilt, scale and shift vary."""
    side = request.size_px * rng.uniform(0.85, 1.15)
    stretch = np.sqrt(rng.uniform(0.85, 1.5))
    width, height = round(side * stretch), round(side / stretch)
    if request.is_square:
        width = height = request.size_px
    columns = np.linspace(-1, 1, width, dtype=np.float32) * np.float32(rng.uniform(1.0, 1.25))
    rows = np.linspace(-1, 1, height, dtype=np.float32) * np.float32(rng.uniform(0.95, 1.2))
    angle = rng.normal(0, np.radians(4))
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    shift_x, shift_y = np.float32(rng.normal(0, 0.05)), np.float32(rng.normal(0, 0.06))
    x = columns[None, :] * cos - rows[:, None] * sin + shift_x
    y = columns[None, :] * sin + rows[:, None] * cos + shift_y
    if request.is_lateral:
        # One lung fills the width, the spine stands at one side.
        x = np.float32(0.42) + np.float32(0.55) * x
    return x, y


def _box(attenuation: np.ndarray) -> tuple[int, int, int, int] | None:
    """The rectangle around what is visible of an opacity: a quarter of its peak or more; None if nothing is."""
    peak = float(attenuation.max())
    if peak < 0.02:
        return None
    return _bounds(attenuation >= 0.25 * peak)


def _bounds(marked: np.ndarray) -> tuple[int, int, int, int]:
    """x, y, width, height of the smallest rectangle around the marked pixels; at least one is."""
    rows, columns = np.flatnonzero(marked.any(axis=1)), np.flatnonzero(marked.any(axis=0))
    return (
        int(columns[0]),
        int(rows[0]),
        int(columns[-1] - columns[0] + 1),
        int(rows[-1] - rows[0] + 1),
    )


def _expose(attenuation: np.ndarray, window_of: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Grey values, uint8: windowed between percentiles of ``window_of``, then gamma, contrast, brightness and noise."""
    low, high = np.percentile(window_of[::4, ::4], [rng.uniform(0.5, 4), rng.uniform(96, 99.7)])
    grey = np.clip((attenuation - np.float32(low)) / np.float32(max(high - low, 1e-3)), 0, 1)
    grey = grey ** np.float32(np.exp(rng.normal(0, 0.25)))
    grey = np.float32(rng.uniform(0.0, 0.15)) + grey * np.float32(rng.uniform(0.65, 0.85))
    grey += np.float32(rng.uniform(0.008, 0.025)) * rng.standard_normal(grey.shape, dtype=np.float32)
    return (np.clip(grey, 0, 1) * 255 + np.float32(0.5)).astype(np.uint8)

"""Pictures that a model was not trained for: X-rays turned or inverted, and pictures that are none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

#: What is made of the X-rays of a split, and what is made of nothing; all of ``contracts.metrics.STRANGE_PICTURES``.
ALTERED = ("inverted", "quarter_turn", "upside_down")
MADE = ("noise", "shapes", "photographs", "phantoms")
SEED = 20261130

_ALTER: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "inverted": lambda images: 255 - images,
    "quarter_turn": lambda images: np.rot90(images, axes=(1, 2)),
    "upside_down": lambda images: images[:, ::-1],
}


def altered(kind: str, images: np.ndarray) -> np.ndarray:
    """``images`` uint8 ``(n, size, size, 1)`` altered as ``kind`` of ``ALTERED`` says, same shape."""
    return np.ascontiguousarray(_ALTER[kind](images))


def made(kind: str, n: int, size_px: int) -> tuple[np.ndarray, np.ndarray]:
    """``n`` pictures of ``kind`` of ``MADE``, uint8 ``(n, size, size, 1)``, and what takes the place of patients.

    Parts of one photograph count as images of one patient: two photographs say little, and the interval shows it.
    """
    rng = np.random.default_rng([SEED, MADE.index(kind)])
    pictures = {"noise": _noise, "shapes": _shapes, "photographs": _photographs, "phantoms": _phantoms}[kind]
    drawn = list(pictures(n, size_px, rng))
    images = np.stack([image for image, _ in drawn])[..., None]
    return images, np.array([f"{kind}/{origin}" for _, origin in drawn])


def _noise(n: int, size_px: int, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, int]]:
    for number in range(n):
        yield rng.integers(0, 256, (size_px, size_px), dtype=np.uint8), number


def _shapes(n: int, size_px: int, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, int]]:
    for number in range(n):
        ramp = np.add.outer(*(rng.uniform(-1, 1) * np.linspace(0, 1, size_px) for _ in range(2)))
        ramp = (ramp - ramp.min()) / max(float(np.ptp(ramp)), 1e-6)
        picture = Image.fromarray((255 * ramp).astype(np.uint8))
        draw = ImageDraw.Draw(picture)
        for _ in range(int(rng.integers(4, 12))):
            left, top = rng.uniform(-0.2, 0.9, 2) * size_px
            width, height = rng.uniform(0.05, 0.5, 2) * size_px
            shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
            shape((left, top, left + width, top + height), fill=int(rng.integers(0, 256)))
        yield np.asarray(picture), number


def _photographs(n: int, size_px: int, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, int]]:
    """Of the two that come with scikit-learn."""
    import sklearn.datasets

    folder = Path(sklearn.datasets.__file__).parent / "images"
    photographs = [Image.open(folder / name).convert("L") for name in ("china.jpg", "flower.jpg")]
    for number in range(n):
        photograph = photographs[number % len(photographs)]
        side = int(rng.uniform(0.3, 1.0) * min(photograph.size))
        left, top = (int(rng.integers(0, whole - side + 1)) for whole in photograph.size)
        part = photograph.crop((left, top, left + side, top + side))
        yield np.asarray(part.resize((size_px, size_px), Image.Resampling.BILINEAR)), number % len(photographs)


def _phantoms(n: int, size_px: int, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, int]]:
    from cxr_tasks.sources.phantoms.drawing.render import PhantomRequest, render

    for number in range(n):
        drawn = render(PhantomRequest(seed=SEED, patient=number, image=0, size_px=max(size_px, 128)))
        resized = Image.fromarray(drawn.pixels).resize((size_px, size_px), Image.Resampling.BILINEAR)
        yield np.asarray(resized), number

"""Requests that every version must answer: generated images of many kinds, no patient's among them."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def golden_images(seed: int = 7) -> dict[str, bytes]:
    """Name -> file bytes: smooth grey fields as JPEG and PNG, grey and RGB, 8 and 16 bit, of several shapes."""
    rng = np.random.default_rng(seed)
    shapes = {"square": (256, 256), "wide": (180, 300), "tall": (320, 200), "large": (900, 1100)}
    images: dict[str, bytes] = {}
    for name, (height, width) in shapes.items():
        grey = Image.fromarray(_smooth_field(rng, height, width))
        images[f"{name}_grey.jpeg"] = _encoded(grey, "JPEG", quality=90)
        images[f"{name}_rgb.jpeg"] = _encoded(grey.convert("RGB"), "JPEG", quality=90)
        images[f"{name}_grey.png"] = _encoded(grey, "PNG")
    deep = _smooth_field(rng, 240, 256).astype(np.uint16) * 257
    images["square_grey16.png"] = _encoded(Image.fromarray(deep), "PNG")
    return images


def _smooth_field(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A random field without sharp edges, uint8 (height, width)."""
    coarse = Image.fromarray(rng.integers(0, 256, (9, 9), dtype=np.uint8))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def _encoded(image: Image.Image, file_format: str, **options: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()

"""Images and manifests for the tests of ``prepare``."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image


def encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def picture(height: int = 37, width: int = 53, seed: int = 0) -> Image.Image:
    """A colour picture of noise over a gradient: every decoding mistake changes it."""
    rng = np.random.default_rng(seed)
    gradient = np.linspace(0, 200, width)[None, :, None] + rng.integers(0, 56, (height, width, 3))
    return Image.fromarray(gradient.astype(np.uint8))


@pytest.fixture(scope="session")
def golden_files() -> dict[str, bytes]:
    """One image in each form that sources use, by name."""
    colour = picture()
    deep = np.random.default_rng(1).integers(0, 65536, (31, 29)).astype(np.uint16)
    return {
        "png grey": encoded(colour.convert("L"), "PNG"),
        "png grey and alpha": encoded(colour.convert("LA"), "PNG"),
        "png palette": encoded(colour.quantize(64), "PNG"),
        "png palette of 2 bits": encoded(colour.quantize(4), "PNG", bits=2),
        "png 1 bit": encoded(colour.convert("1"), "PNG"),
        "png rgb": encoded(colour, "PNG"),
        "png rgba": encoded(colour.convert("RGBA"), "PNG"),
        "png 16 bit": encoded(Image.fromarray(deep), "PNG"),
        "jpeg grey": encoded(colour.convert("L"), "JPEG", quality=90),
        "jpeg rgb": encoded(colour, "JPEG", quality=80),
        "bmp": encoded(colour, "BMP"),
        "one pixel high": encoded(colour.convert("L").crop((0, 0, 53, 1)), "PNG"),
    }


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Twelve small grey PNGs, two of each of six patients."""
    root = tmp_path / "source"
    root.mkdir()
    for number in range(12):
        image = picture(24 + number, 30, seed=number).convert("L")
        (root / f"p{number // 2}_{number % 2}.png").write_bytes(encoded(image, "PNG"))
    return root


@pytest.fixture
def make_manifest() -> Callable[..., pd.DataFrame]:
    """A builder of valid manifests over the files of a folder; keyword arguments replace whole columns."""

    def make(root: Path, **columns: Any) -> pd.DataFrame:
        files = sorted(root.glob("*.png"))
        patients = [int(file.name[1]) for file in files]
        table = pd.DataFrame(
            {
                "image_id": [file.name for file in files],
                "patient_id": [f"patient {number}" for number in patients],
                "study_id": [file.stem for file in files],
                "source": "synthetic",
                "view": "pa",
                "sex": ["female" if number % 2 else "male" for number in patients],
                "age_years": [float("nan") if number == 0 else 30.0 + number for number in patients],
                "official_split": "",
                "split": [
                    ("train", "train", "validation", "validation", "test", "test")[number] for number in patients
                ],
                "sub_label": "",
                "boxes": "[]",
                "file_sha256": [hashlib.sha256(file.read_bytes()).hexdigest() for file in files],
                "pixel_sha256": "",
                "file_format": "PNG",
                "mode": "L",
                "width_px": [Image.open(file).width for file in files],
                "height_px": [Image.open(file).height for file in files],
                "mean": 0.5,
                "deviation": 0.2,
                "label_pneumonia": ["positive" if number % 2 else "negative" for number in patients],
            }
        )
        return table.assign(**columns)

    return make

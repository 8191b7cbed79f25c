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

from cxr_tasks.contracts.handoffs.dataset import ValidatedStudies
from cxr_tasks.installation.storage.files import reference_to
from tests.builders import manifest_table


def encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def picture(height: int = 37, width: int = 53, seed: int = 0) -> Image.Image:
    """A picture of noise, a little of it in colour, over a gradient: every decoding mistake changes it."""
    rng = np.random.default_rng(seed)
    gradient = np.linspace(0, 230, width)[None, :, None] + rng.integers(0, 20, (height, width, 3))
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
    """A builder of valid manifests over the PNG files of a folder; keyword arguments replace whole columns."""

    def make(root: Path, **columns: Any) -> pd.DataFrame:
        files = sorted(root.glob("*.png"))
        patients = [int(file.name[1]) for file in files]
        found = {
            "image_id": [file.name for file in files],
            "patient_id": [f"patient {number}" for number in patients],
            "view": "pa",
            "sex": ["female" if number % 2 else "male" for number in patients],
            "age_years": [float("nan") if number == 0 else 30.0 + number for number in patients],
            "split": [("train", "train", "validation", "validation", "test", "test")[number] for number in patients],
            "file_sha256": [hashlib.sha256(file.read_bytes()).hexdigest() for file in files],
            "label_pneumonia": ["positive" if number % 2 else "negative" for number in patients],
        }
        if "width_px" not in columns:  # a broken file has no size to read
            found["width_px"], found["height_px"] = zip(*(Image.open(file).size for file in files), strict=True)
        return manifest_table(len(files), **(found | columns))

    return make


@pytest.fixture
def validated(tmp_path: Path) -> Callable[..., ValidatedStudies]:
    """What validation hands on: a manifest with its files, in a folder of the test's own."""

    def make(root: Path, manifest: pd.DataFrame, name: str = "synthetic_binary") -> ValidatedStudies:
        folder = tmp_path / "in"
        folder.mkdir(exist_ok=True)
        manifest.to_parquet(folder / "manifest.parquet")
        (folder / "validation.json").write_text("{}")
        (folder / "profile.json").write_text('{"format": 1}')
        return ValidatedStudies(
            dataset=name,
            root=str(root),
            manifest=reference_to(folder / "manifest.parquet"),
            validation=reference_to(folder / "validation.json"),
            profile=reference_to(folder / "profile.json"),
            data_docs="",
            n_expectations=21,
            n_warnings=2,
        )

    return make

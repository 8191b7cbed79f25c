"""Small folders in the Kermany layout, and the recipe that reads them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxr_tasks.contracts.recipes import Recipe, load_recipe


def noise_picture(seed: int, *, width: int = 96, height: int = 80, mode: str = "L") -> Image.Image:
    grey = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    return Image.fromarray(grey).convert(mode)


@pytest.fixture
def picture() -> Callable[..., Image.Image]:
    """Makes a noise picture: ``picture(seed, width=, height=, mode=)``."""
    return noise_picture


@pytest.fixture
def xrays(tmp_path: Path) -> Path:
    """A data folder: 20 NORMAL and 40 PNEUMONIA patients in train, 4 and 4 in test, one image each, no val folder."""
    root = tmp_path / "xrays"
    plan = [("train", "NORMAL", "IM-{:04d}-0001.jpeg", 20), ("train", "PNEUMONIA", "person{}_virus_{}.jpeg", 40)]
    plan += [
        ("test", "NORMAL", "NORMAL2-IM-1{:03d}-0001.jpeg", 4),
        ("test", "PNEUMONIA", "person10{}_bacteria_{}.jpeg", 4),
    ]
    seed = 0
    for split, label, name, count in plan:
        folder = root / split / label
        folder.mkdir(parents=True)
        for number in range(1, count + 1):
            seed += 1
            noise_picture(seed).save(folder / name.format(number, seed), quality=90)
    return root


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe("kermany_cnn")


@pytest.fixture
def lenient_recipe(recipe: Recipe) -> Recipe:
    """The same, with any share of unusable files allowed."""
    return dataclasses.replace(recipe, dataset=dataclasses.replace(recipe.dataset, quarantine_bound=1.0))

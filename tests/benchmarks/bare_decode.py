"""Decoding image files to grey, nothing else: what ingest is held against. Imports little, for worker processes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image


def decode_files(work: Sequence[tuple[str, str, str]]) -> list[tuple[int, ...]]:
    """Shape of the grey array of every (root, image_id, ...), each read and decoded."""
    return [np.asarray(_grey(f"{root}/{image_id}")).shape for root, image_id, _ in work]


def load_files(work: Sequence[tuple[str, str, str]]) -> list[tuple[int, int]]:
    """Width and height of the same as Pillow's pictures, no arrays made of them: less than anyone could use."""
    return [_grey(f"{root}/{image_id}").size for root, image_id, _ in work]


def _grey(path: str) -> Image.Image:
    with Image.open(path) as picture:
        picture.load()
        return picture if picture.mode == "L" else picture.convert("L")

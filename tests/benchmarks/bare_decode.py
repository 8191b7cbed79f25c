"""Decoding image files to grey, nothing else: what ingest is held against. Imports little, for worker processes."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image


def decode_files(work: Sequence[tuple[str, str, str]]) -> list[tuple[int, int]]:
    """Width and height of every (root, image_id, ...), each read and decoded."""
    return [_decode(f"{root}/{image_id}") for root, image_id, _ in work]


def _decode(path: str) -> tuple[int, int]:
    with Image.open(path) as picture:
        picture.load()
        grey = picture if picture.mode == "L" else picture.convert("L")
        return grey.size

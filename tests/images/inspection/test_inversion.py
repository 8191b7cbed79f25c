from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cxr_tasks.images.inspection.inversion import is_inverted_suspected


def small(path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("L").resize((64, 64), Image.Resampling.BOX), dtype=np.float32)


def drawn_chest() -> np.ndarray:
    """Air in the corners, a bright body, dark lungs, a bright spine."""
    picture = np.full((64, 64), 20, np.float32)
    picture[6:, 8:56] = 150
    picture[12:44, 11:25] = picture[12:44, 39:53] = 60
    picture[:, 28:36] = 200
    return picture


def test_a_drawn_chest_is_suspected_only_when_inverted():
    picture = drawn_chest()
    assert is_inverted_suspected(np.stack([picture, 255 - picture])).tolist() == [False, True]


@pytest.mark.parametrize(("gain", "offset"), [(0.3, 0), (0.5, 100), (1.1, 5)])
def test_brightness_and_contrast_do_not_matter(gain, offset):
    picture = drawn_chest() * gain + offset
    assert is_inverted_suspected(np.stack([picture, 255 - picture])).tolist() == [False, True]


@pytest.mark.data
@pytest.mark.parametrize(
    ("folder", "pattern", "most_wrong"), [("kermany", "*/*/*.jpeg", 0), ("nih14", "images/*.png", 1)]
)
def test_real_pictures_are_told_from_their_inverses(shared_data, folder, pattern, most_wrong):
    pictures = np.stack([small(path) for path in sorted((shared_data / folder).glob(pattern))[::4]])
    assert is_inverted_suspected(pictures).sum() <= most_wrong
    assert is_inverted_suspected(255 - pictures).sum() >= len(pictures) - most_wrong

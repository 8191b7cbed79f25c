from __future__ import annotations

import imagehash
import numpy as np
import pytest
from PIL import Image

from cxr_tasks.images.inspection.perceptual import perceptual_hashes


def smooth_picture(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("kind", ["noise", "smooth"])
def test_bits_are_those_of_the_library(kind):
    rng = np.random.default_rng(3)
    noise = rng.integers(0, 256, (40, 64, 64), dtype=np.uint8)
    pictures = list(noise) if kind == "noise" else [smooth_picture(number) for number in range(40)]
    expected = [str(imagehash.phash(Image.fromarray(one), hash_size=16)) for one in pictures]
    found = perceptual_hashes(np.stack(pictures).astype(np.float32))
    assert found == expected
    assert {len(one) for one in found} == {64}


def test_a_hash_does_not_depend_on_its_neighbours():
    pictures = np.stack([smooth_picture(n) for n in range(5)]).astype(np.float32)
    assert perceptual_hashes(pictures[2:3])[0] == perceptual_hashes(pictures)[2]

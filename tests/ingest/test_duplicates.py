"""Which images are one picture: by pixels, by hashes, and on real X-rays and copies of them."""

from __future__ import annotations

import io
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.images.duplicates import NEAR_BITS, duplicate_groups
from cxr_tasks.images.inspection.statistics import Samples


def hashes_of(bits: np.ndarray) -> list[str]:
    """bool ``(n, 256)`` as hex text."""
    return [row.tobytes().hex() for row in np.packbits(bits, axis=1)]


def images_of(bits: np.ndarray, **columns) -> pd.DataFrame:
    names = [f"{number:05d}.png" for number in range(len(bits))]
    return pd.DataFrame({"image_id": names, "pixel_hash": names, "perceptual_hash": hashes_of(bits), **columns})


def random_bits(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, 256)) < 0.5


def with_flips(bits: np.ndarray, n: int, seed: int = 0) -> np.ndarray:
    changed = bits.copy()
    changed[np.random.default_rng(seed).choice(256, n, replace=False)] ^= True
    return changed


def test_equal_pixels_are_one_group_named_after_the_smallest_id():
    images = images_of(random_bits(5), pixel_hash=["a", "b", "a", "c", "a"])
    assert duplicate_groups(images).tolist() == ["00000.png", "", "00000.png", "", "00000.png"]
    shuffled = images.iloc[[4, 3, 2, 1, 0]]
    assert duplicate_groups(shuffled).tolist() == ["00000.png", "", "00000.png", "", "00000.png"]
    assert duplicate_groups(shuffled).index.tolist() == [4, 3, 2, 1, 0]


@pytest.mark.parametrize(
    ("n_flipped", "is_found"),
    [(0, True), (1, True), (NEAR_BITS, True), (NEAR_BITS + 1, False)],
)
def test_hashes_within_the_bound_are_one_picture(n_flipped, is_found):
    bits = random_bits(3)
    bits[2] = with_flips(bits[0], n_flipped)
    assert (duplicate_groups(images_of(bits)) != "").tolist() == [is_found, False, is_found]


def test_chains_are_one_group_and_an_image_of_its_own_is_in_none():
    bits = random_bits(6)
    bits[3] = with_flips(bits[1], 20, seed=1)
    bits[4] = with_flips(bits[3], 20, seed=2)
    bits[5] = bits[0]  # an equal hash, other pixels
    assert duplicate_groups(images_of(bits)).tolist() == [
        "00000.png", "00001.png", "", "00001.png", "00001.png", "00000.png",
    ]  # fmt: skip


def test_an_unknown_hash_is_near_nothing():
    images = images_of(random_bits(3)).assign(perceptual_hash="", pixel_hash=["", "", "a"])
    assert duplicate_groups(images).tolist() == ["", "", ""]
    assert duplicate_groups(images[:0]).tolist() == []


def test_a_broken_hash_is_named():
    with pytest.raises(DataDefect, match=r"expected 64 hex digits, found 'zz' \(1 such\)"):
        duplicate_groups(images_of(random_bits(2)).assign(perceptual_hash=["zz", "0" * 64]))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 80))
def test_the_same_pairs_as_by_comparing_all_with_all(seed, n):
    rng = np.random.default_rng(seed)
    centres = random_bits(4, seed)
    bits = centres[rng.integers(0, 4, n)] ^ (rng.random((n, 256)) < rng.choice([0.0, 0.03, 0.05, 0.08], (n, 1)))
    near = (bits[:, None] ^ bits[None]).sum(axis=2) <= NEAR_BITS
    reached = near
    while not np.array_equal(reached, further := (reached.astype(int) @ near) > 0):
        reached = further
    expected = [f"{row.argmax():05d}.png" if row.sum() > 1 else "" for row in reached]
    assert duplicate_groups(images_of(bits)).tolist() == expected


def test_blocks_leave_no_pair_out(monkeypatch):
    from cxr_tasks.images import duplicates

    bits = np.repeat(random_bits(1), 60, axis=0) ^ (np.arange(256) < np.arange(60)[:, None] % 20)
    whole = duplicate_groups(images_of(bits))
    monkeypatch.setattr(duplicates, "_BLOCK_PAIRS", 7)
    assert duplicate_groups(images_of(bits)).tolist() == whole.tolist() == ["00000.png"] * 60


def as_jpeg(picture: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=30)
    return Image.open(stream).convert("L")


COPIES = {
    "as JPEG": as_jpeg,
    "at half the size": lambda one: one.resize((one.width // 2, one.height // 2)),
    "as a square": lambda one: one.resize((224, 224)),
    "enlarged": lambda one: one.resize((one.width * 2, one.height * 2), Image.Resampling.BICUBIC),
    "brighter": lambda one: ImageEnhance.Brightness(one).enhance(1.15),
    "flatter": lambda one: ImageEnhance.Contrast(one).enhance(0.7),
}


@pytest.mark.data
def test_copies_of_real_xrays_are_found_and_other_patients_are_not(shared_data: Path):
    files = sorted((shared_data / "kermany").rglob("*.jpeg")) + sorted((shared_data / "nih14/images").glob("*.png"))
    pictures = [Image.open(file).convert("L") for file in files]
    kinds = list(COPIES)
    copied = range(0, len(files), 10)
    copies = [COPIES[kinds[place // 10 % len(kinds)]](pictures[place]) for place in copied]
    samples = Samples(len(pictures + copies))
    for one in pictures + copies:
        samples.add(np.asarray(one), 255)
    hashes = [one.perceptual_hash for one in samples.statistics()]
    names = [file.relative_to(shared_data).as_posix() for file in files]
    ids = names + [f"z/copy of {names[place]}" for place in copied]
    group = duplicate_groups(pd.DataFrame({"image_id": ids, "pixel_hash": ids, "perceptual_hash": hashes}))
    members = pd.Series(ids).groupby(group[group != ""]).agg(list)
    found = {one for group_members in members for one in group_members if one.startswith("z/")}
    assert len(found) == len(copies)
    originals = [sorted(one for one in group_members if not one.startswith("z/")) for group_members in members]
    # The identical pairs that the sets hold, each of one patient; no others.
    pairs = [one for one in originals if len(one) > 1]
    assert len(pairs) == 4
    for one, other in pairs:
        assert re.sub(r"_\d+\.\w+$", "", one) == re.sub(r"_\d+\.\w+$", "", other)


def test_memory_holds_a_block_of_pairs_and_no_more():
    n = 40_000
    bits = random_bits(n)
    # Low frequencies of X-rays are much alike: a third of the bits nearly always say the same.
    bits[:, ::3] = np.random.default_rng(1).random((n, 86)) < 0.1
    bits[-500:] = [with_flips(one, 15) for one in bits[:500]]
    images = images_of(bits)
    tracemalloc.start()
    group = duplicate_groups(images)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (group[:500].to_numpy() == group[-500:].to_numpy()).all() and (group != "").sum() == 1000
    assert peak < 200 * 2**20  # all pairs would be 13 GB

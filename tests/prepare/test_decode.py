"""Files into pixels, with what goes wrong on the way."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.specs import PixelSpec

pytestmark = pytest.mark.tf

SPEC = PixelSpec(size_px=16)


def index_of_files(root):
    files = sorted(root.glob("*.png"))
    hashes = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    return pd.DataFrame({"image_id": [file.name for file in files], "file_sha256": hashes})


def test_pixels_stand_in_the_order_of_the_index(image_folder):
    from cxr_tasks.prepare.decode import decode_files
    from cxr_tasks.prepare.pixels import standard_pixels

    index = index_of_files(image_folder).sample(frac=1, random_state=5)
    into = np.zeros((len(index), 16, 16, 1), np.uint8)
    assert decode_files(image_folder, index, SPEC, into=into) == []
    for row, image_id in enumerate(index["image_id"]):
        expected = standard_pixels((image_folder / image_id).read_bytes(), SPEC).numpy()
        assert np.array_equal(into[row], expected)


def test_one_bad_image_is_left_out_and_its_neighbours_are_not(image_folder):
    from cxr_tasks.prepare.decode import decode_files

    whole = (image_folder / "p2_0.png").read_bytes()
    (image_folder / "p2_0.png").write_bytes(whole[: len(whole) // 2])
    index = index_of_files(image_folder)
    into = np.zeros((len(index), 16, 16, 1), np.uint8)
    left_out = decode_files(image_folder, index, SPEC, into=into)
    assert [one.image_id for one in left_out] == ["p2_0.png"] and left_out[0].reason
    assert (into.reshape(len(index), -1).max(axis=1) > 0).tolist() == [name != "p2_0.png" for name in index["image_id"]]


@pytest.mark.parametrize(
    ("image_id", "message"),
    [
        ("p0_0.png", "was changed after ingest"),
        ("absent.png", "found none; run ingest again"),
        ("../outside.png", "leads out of it"),
    ],
)
def test_a_file_that_is_not_what_ingest_saw_stops_the_stage(image_folder, image_id, message):
    from cxr_tasks.prepare.decode import read_verified

    with pytest.raises(DataDefect, match=message):
        read_verified(image_folder, image_id, "0" * 64)

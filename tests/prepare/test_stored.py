"""Single images out of a stored dataset."""

from __future__ import annotations

import numpy as np
import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.labels import SPLITS
from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.prepare.index_rows import index_of

pytestmark = pytest.mark.tf


def test_images_are_found_by_place_over_shards(tmp_path, image_folder, make_manifest, monkeypatch):
    from cxr_tasks.datasets.single_images import stored_images
    from cxr_tasks.prepare import shards

    index = index_of(make_manifest(image_folder), "pneumonia", PixelSpec(size_px=16), salt="s", secret=bytes(32))
    splits = {name: index[index["split"] == name] for name in SPLITS}
    pixels = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 1)).astype(np.uint8)
    monkeypatch.setattr(shards, "SHARD_BYTES", 520)  # two examples per shard
    given = {name: enumerate(pixels) for name in SPLITS}
    shards.write_dataset(tmp_path, "tiny", splits=splits, pixels=given, vocabulary="pneumonia", size_px=16)
    found = stored_images(tmp_path, "train", [3, 0, 3], size_px=16)
    assert sorted(found) == [0, 3]
    assert all(np.array_equal(found[place], pixels[place, ..., 0]) for place in found)
    (tmp_path / "tiny-train.tfrecord-00000-of-00002").unlink()
    assert list(stored_images(tmp_path, "train", [2], size_px=16)) == [2]  # the other shard is not opened
    with pytest.raises(DataDefect, match="expected an example at 4, found 4"):
        stored_images(tmp_path, "train", [4], size_px=16)
    with pytest.raises(DataDefect, match="expected the split 'holdout', found none"):
        stored_images(tmp_path, "holdout", [0], size_px=16)

"""The stored dataset as TFDS reads it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from cxr_tasks.contracts.labels import SPLITS
from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.prepare.index_rows import index_of

pytestmark = pytest.mark.tf


def test_plain_tfds_reads_back_what_was_written(tmp_path, image_folder, make_manifest, monkeypatch):
    import tensorflow_datasets as tfds

    from cxr_tasks.prepare import shards

    boxes = json.dumps([{"finding": "opacity", "x": 0, "y": 6, "width": 15, "height": 12}])
    manifest = make_manifest(image_folder)
    manifest.loc[0, ["boxes", "label_pneumonia"]] = [boxes, "uncertain"]
    index = index_of(manifest, "pneumonia", PixelSpec(size_px=16), salt="s", secret=bytes(32))
    splits = {name: index[index["split"] == name] for name in SPLITS}
    rng = np.random.default_rng(0)
    pixels = {name: rng.integers(0, 256, (len(part), 16, 16, 1)).astype(np.uint8) for name, part in splits.items()}
    given = {name: enumerate(images) for name, images in pixels.items()}
    monkeypatch.setattr(shards, "SHARD_BYTES", 520)  # two examples of 256 bytes per shard
    shards.write_dataset(tmp_path / "d", "tiny", splits=splits, pixels=given, vocabulary="pneumonia", size_px=16)

    builder = tfds.builder_from_directory(str(tmp_path / "d"))
    assert {name: info.num_examples for name, info in builder.info.splits.items()} == {
        "train": 4, "validation": 4, "test": 4,
    }  # fmt: skip
    assert builder.info.splits["train"].num_shards == 2
    for name, part in splits.items():
        rows = list(tfds.as_numpy(builder.as_dataset(split=name, shuffle_files=False)))
        assert np.array_equal([row["image"] for row in rows], pixels[name])
        assert [row["image_id"].decode() for row in rows] == part["image_id"].tolist()
        assert [row["mask"][0] == (not math.isnan(row["labels"][0])) for row in rows] == [True] * len(rows)
        assert [row["source"].decode() for row in rows] == part["source"].tolist()
        assert [row["patient"].decode() for row in rows] == part["patient_key"].tolist()
    first = next(iter(tfds.as_numpy(builder.as_dataset(split="train", shuffle_files=False))))
    assert math.isnan(first["labels"][0]) and first["mask"].tolist() == [0.0] and math.isnan(first["age_years"])
    assert builder.info.features["label_state"].feature.int2str(int(first["label_state"][0])) == "uncertain"
    assert builder.info.features["sex"].int2str(int(first["sex"])) == "male"
    assert first["boxes"]["bbox"][0] == pytest.approx([0.25, 0.0, 0.75, 0.5])  # of 30 x 24 pixels
    assert first["boxes"]["finding"][0] == b"opacity"


def test_rows_passed_over_make_their_shard_shorter_and_keep_the_order(
    tmp_path, image_folder, make_manifest, monkeypatch
):
    import tensorflow_datasets as tfds

    from cxr_tasks.prepare import shards

    index = index_of(make_manifest(image_folder), "pneumonia", PixelSpec(size_px=16), salt="s", secret=bytes(32))
    splits = {name: index[index["split"] == name] for name in SPLITS}
    image = np.zeros((16, 16, 1), np.uint8)
    given = {"train": [(0, image), (3, image)], "validation": [(3, image)], "test": [(n, image) for n in range(4)]}
    monkeypatch.setattr(shards, "SHARD_BYTES", 520)
    shards.write_dataset(tmp_path / "d", "tiny", splits=splits, pixels=given, vocabulary="pneumonia", size_px=16)
    builder = tfds.builder_from_directory(str(tmp_path / "d"))
    assert {name: info.shard_lengths for name, info in builder.info.splits.items()} == {
        "train": [1, 1], "validation": [0, 1], "test": [2, 2],
    }  # fmt: skip
    for name, rows in given.items():
        stored = tfds.as_numpy(builder.as_dataset(split=name, shuffle_files=False))
        expected = splits[name]["image_id"].iloc[[place for place, _ in rows]]
        assert [row["image_id"].decode() for row in stored] == expected.tolist()


@pytest.mark.parametrize(
    ("n", "bytes_each", "lengths"),
    [
        (10, 1, [10]),              # fits in one
        (0, 1, [0]),                # nothing is one empty shard
        (5, 128 * 2**20, [1] * 5),  # one each
        (7, 64 * 2**20, [2, 2, 2, 1]),
    ],
)  # fmt: skip
def test_shards_are_of_about_equal_size(n, bytes_each, lengths):
    from cxr_tasks.prepare.shards import shard_lengths

    assert shard_lengths(n, bytes_each=bytes_each) == lengths

"""Single images back out of a stored dataset, without reading all of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import tensorflow as tf

from cxr_tasks.contracts.errors import DataDefect


def stored_images(folder: Path, split: str, places: Iterable[int], *, size_px: int) -> dict[int, np.ndarray]:
    """The pixels, uint8 ``(size, size)``, of the examples at ``places`` (from 0, in stored order) of ``split``.

    Only shards with one of them are opened, and only those examples are parsed.

    Raises:
        DataDefect: The split is not stored there, or holds fewer examples.
    """
    import tensorflow_datasets as tfds

    info = tfds.builder_from_directory(str(folder)).info.splits.get(split)
    if info is None:
        raise DataDefect(f"{folder}: expected the split {split!r}, found none; prepare the dataset again")
    wanted, images, start = sorted(set(places)), {}, 0
    for path, length in zip(info.filepaths, info.shard_lengths, strict=True):
        here = {place - start: place for place in wanted if start <= place < start + length}
        if here:
            for row, record in enumerate(tf.data.TFRecordDataset(str(path)).take(max(here) + 1)):
                if row in here:
                    parsed = tf.io.parse_single_example(record, {"image": tf.io.FixedLenFeature((), tf.string)})
                    pixels = np.frombuffer(parsed["image"].numpy(), np.uint8)
                    images[here[row]] = pixels.reshape(size_px, size_px)
        start += length
    missing = [place for place in wanted if place not in images]
    if missing:
        raise DataDefect(f"{folder}, {split}: expected an example at {missing[0]}, found {start}; prepare it again")
    return images

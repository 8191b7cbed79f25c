"""The stored dataset: TFRecord shards with the metadata that ``tfds.builder_from_directory`` opens."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf
import tensorflow_datasets as tfds

from cxr_tasks.contracts.labels import SEXES, VIEWS, LabelState, findings_of, label_column
from cxr_tasks.prepare.index_rows import targets_of

VERSION = "1.0.0"
#: Shards hold about this much; one file up to there, several where a cluster can read them side by side.
SHARD_BYTES = 128 * 2**20
#: What follows the last example: a place beyond every shard.
_END: tuple[int, dict[str, Any]] = (sys.maxsize, {})


def features_of(size_px: int, vocabulary: str) -> tfds.features.FeaturesDict:
    """What one example holds. Boxes are in relative coordinates (y_min, x_min, y_max, x_max), as TFDS has them.

    ``labels`` are 0, 1 or NaN where not known; ``mask`` is 1 where they are known and 0 elsewhere.
    ``encoding="bytes"`` stores one byte per pixel; without it TFDS stores eight.
    """
    findings = findings_of(vocabulary)
    names = tfds.features
    return names.FeaturesDict(
        {
            "image": names.Tensor(shape=(size_px, size_px, 1), dtype=np.uint8, encoding="bytes"),
            "labels": names.Tensor(shape=(len(findings),), dtype=np.float32),
            "mask": names.Tensor(shape=(len(findings),), dtype=np.float32),
            "label_state": names.Sequence(names.ClassLabel(names=[str(state) for state in LabelState]), len(findings)),
            "image_id": names.Text(),
            "patient": names.Text(),
            "source": names.Text(),
            "view": names.ClassLabel(names=list(VIEWS)),
            "sex": names.ClassLabel(names=list(SEXES)),
            "age_years": names.Scalar(np.float32),
            "boxes": names.Sequence({"bbox": names.BBoxFeature(), "finding": names.Text()}),
        }
    )


def write_dataset(
    folder: Path,
    name: str,
    *,
    splits: dict[str, pd.DataFrame],
    pixels: Mapping[str, Iterable[tuple[int, np.ndarray]]],
    vocabulary: str,
    size_px: int,
) -> None:
    """Write shards and metadata of a dataset into ``folder``; memory holds one example at a time.

    Args:
        splits: Index rows of each split, in the order to store them.
        pixels: For each split, in order, the place of a row (from 0) and its uint8 ``(size, size, 1)``. A row that is
            passed over is not stored.
    """
    folder.mkdir(parents=True, exist_ok=True)
    features = features_of(size_px, vocabulary)
    infos = [
        _write_split(
            folder,
            name,
            split,
            features=features,
            examples=_examples(index, pixels[split], vocabulary),
            n_rows=len(index),
        )
        for split, index in splits.items()
    ]
    tfds.folder_dataset.write_metadata(
        data_dir=str(folder),
        features=features,
        split_infos=infos,
        version=VERSION,
        description=f"Chest X-rays of {name}, greyscale {size_px} px; findings: {', '.join(findings_of(vocabulary))}.",
        check_data=False,
    )


def _write_split(
    folder: Path, name: str, split: str, *, features: Any, examples: Iterator[tuple[int, dict[str, Any]]], n_rows: int
) -> tfds.core.SplitInfo:
    """Write one split shard by shard, in order, each beside its name first.

    A shard holds a range of rows that is fixed beforehand, as its name tells how many shards there are; rows that are
    passed over make it shorter.
    """
    template = tfds.core.ShardedFileTemplate(
        data_dir=folder, dataset_name=name, split=split, filetype_suffix="tfrecord"
    )
    ends = list(itertools.accumulate(shard_lengths(n_rows, bytes_each=int(np.prod(features["image"].shape)))))
    lengths, n_bytes = [0] * len(ends), 0
    place, example = next(examples, _END)
    for shard, end in enumerate(ends):
        path = folder / f"{name}-{split}.tfrecord-{shard:05d}-of-{len(ends):05d}"
        aside = path.with_name(f"{path.name}.incomplete")
        with tf.io.TFRecordWriter(str(aside)) as writer:
            while place < end:
                record = features.serialize_example(example)
                writer.write(record)
                lengths[shard] += 1
                n_bytes += len(record)
                place, example = next(examples, _END)
        aside.replace(path)
    return tfds.core.SplitInfo(name=split, shard_lengths=lengths, num_bytes=n_bytes, filename_template=template)


def shard_lengths(n_examples: int, *, bytes_each: int) -> list[int]:
    """Examples per shard, as equal as can be, for shards of about ``SHARD_BYTES``.

    >>> shard_lengths(10, bytes_each=SHARD_BYTES // 4)
    [4, 3, 3]
    """
    n_shards = max(-(-n_examples * bytes_each // SHARD_BYTES), 1)
    short, n_longer = divmod(n_examples, n_shards)
    return [short + (shard < n_longer) for shard in range(n_shards)]


def _examples(
    index: pd.DataFrame, images: Iterable[tuple[int, np.ndarray]], vocabulary: str
) -> Iterator[tuple[int, dict[str, Any]]]:
    targets = targets_of(index, vocabulary).to_numpy()
    known = (~np.isnan(targets)).astype(np.float32)
    ages = index["age_years"].to_numpy(np.float32)
    states = index[[label_column(finding) for finding in findings_of(vocabulary)]].to_numpy(dtype=object)
    details = index[["image_id", "patient_key", "source", "view", "sex", "boxes"]].to_dict("list")
    for place, image in images:
        yield (
            place,
            {
                "image": image,
                "labels": targets[place],
                "mask": known[place],
                "label_state": [str(state) for state in states[place]],
                "image_id": details["image_id"][place],
                "patient": details["patient_key"][place],
                "source": details["source"][place],
                "view": details["view"][place],
                "sex": details["sex"][place],
                "age_years": ages[place],
                "boxes": [_box(box, image.shape[0]) for box in json.loads(details["boxes"][place])],
            },
        )


def _box(box: dict[str, Any], size_px: int) -> dict[str, Any]:
    edges = (box["y"], box["x"], box["y"] + box["height"], box["x"] + box["width"])
    ymin, xmin, ymax, xmax = (min(edge / size_px, 1.0) for edge in edges)
    return {"bbox": tfds.features.BBox(ymin=ymin, xmin=xmin, ymax=ymax, xmax=xmax), "finding": box["finding"]}

"""Facts of a stored dataset's examples, read through ``tfds.builder_from_directory`` as any other program would."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf
import tensorflow_datasets as tfds

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.labels import LabelState, label_column
from cxr_tasks.installation.storage.files import is_of_the_system

_TARGETS = {LabelState.POSITIVE: 1.0, LabelState.NEGATIVE: 0.0}
_NEEDED = frozenset(
    {"image", "labels", "mask", "label_state", "image_id", "patient", "source", "view", "sex", "age_years", "boxes"}
)
_PREPARE_AGAIN = "remove the folder and prepare the dataset again"


def open_stored(folder: Path) -> tfds.core.DatasetBuilder:
    """The builder of the dataset in ``folder``; ``DataDefect`` where it does not open or lacks a feature."""
    # It tells of every file it opens.
    logging.getLogger("absl").setLevel(logging.ERROR)
    try:
        builder = tfds.builder_from_directory(str(folder))
    except (tfds.core.registered.DatasetNotFoundError, OSError, ValueError, AssertionError) as error:
        if is_of_the_system(error):
            raise
        raise DataDefect(f"{folder}: expected a TFDS dataset, found {error}; {_PREPARE_AGAIN}") from error
    missing = sorted(_NEEDED - set(builder.info.features))
    if missing:
        raise DataDefect(f"{folder}: expected the features {', '.join(missing)}, found none; {_PREPARE_AGAIN}")
    return builder


def stored_facts(builder: tfds.core.DatasetBuilder, split: str, findings: Sequence[str]) -> pd.DataFrame:
    """One row per example of ``split`` in stored order; pixels are looked at one image at a time and not kept.

    Columns: ``image_id``, ``patient_key``, ``source``, ``view``, ``sex``, ``age_years``, ``label_<finding>`` (a state),
    ``target_fault`` (value or mask at odds with the state; empty where not), ``n_boxes``, ``box_fault``, and ``mean``,
    ``deviation`` and ``grey_range`` (largest less smallest) of the pixels on the [0, 1] scale. A split that the
    metadata does not know has no rows.

    Raises:
        DataDefect: A shard is missing, cut off or damaged.
        OSError, tf.errors.OpError: The disk, or the rights to a shard.
    """
    columns = _columns(findings)
    if split not in builder.info.splits:
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in columns.items()})
    words = {name: builder.info.features[name].names for name in ("view", "sex")}
    states = builder.info.features["label_state"].feature.names
    # One shard after the other: the order of the index.
    config = tfds.ReadConfig(interleave_cycle_length=1, add_tfds_id=False)
    try:
        examples = tfds.as_numpy(builder.as_dataset(split=split, shuffle_files=False, read_config=config))
        rows = [_facts(example, findings, words, states) for example in examples]
    except (tf.errors.OpError, OSError, AssertionError) as error:
        if is_of_the_system(error):
            raise
        place = f"{builder.data_dir}, {split}"
        raise DataDefect(f"{place}: expected whole TFRecord shards, found {error}; {_PREPARE_AGAIN}") from error
    return pd.DataFrame(rows, columns=list(columns)).astype(columns)


def _columns(findings: Sequence[str]) -> dict[str, str]:
    texts = ["image_id", "patient_key", "source", "view", "sex", *map(label_column, findings), "target_fault"]
    numbers = ("age_years", "mean", "deviation", "grey_range")
    return {**dict.fromkeys(texts, "str"), "box_fault": "str", "n_boxes": "int64", **dict.fromkeys(numbers, "float64")}


def _facts(
    example: dict[str, Any], findings: Sequence[str], words: dict[str, list[str]], states: list[str]
) -> dict[str, Any]:
    held = [states[number] for number in example["label_state"]]
    pixels = example["image"]
    low, high = int(pixels.min()), int(pixels.max())
    return {
        "image_id": example["image_id"].decode(),
        "patient_key": example["patient"].decode(),
        "source": example["source"].decode(),
        "view": words["view"][example["view"]],
        "sex": words["sex"][example["sex"]],
        "age_years": float(example["age_years"]),
        **{label_column(finding): state for finding, state in zip(findings, held, strict=True)},
        "target_fault": target_fault(findings, held, example["labels"], example["mask"]),
        "n_boxes": len(example["boxes"]["bbox"]),
        "box_fault": box_fault(example["boxes"]["bbox"]),
        "mean": float(pixels.mean()) / 255,
        "deviation": float(pixels.std()) / 255,
        "grey_range": (high - low) / 255,
    }


def target_fault(findings: Sequence[str], states: Sequence[str], labels: np.ndarray, mask: np.ndarray) -> str:
    """The first finding whose value or mask contradicts its state; empty where none does.

    A positive is 1, a negative 0; the mask is 1 where the value is a number and 0 where it is NaN.
    """
    for finding, state, value, known in zip(findings, states, labels, mask, strict=True):
        wanted = _TARGETS.get(LabelState(state))
        if wanted is not None and value != wanted:
            return f"{finding}: {state}, value {value:g}"
        if float(known) != float(not np.isnan(value)):
            return f"{finding}: value {value:g}, mask {float(known):g}"
        if not np.isnan(value) and value not in (0.0, 1.0):
            return f"{finding}: value {value:g}"
    return ""


def box_fault(boxes: np.ndarray) -> str:
    """What is wrong with boxes ``(n, 4)`` of y_min, x_min, y_max, x_max relative to the picture; empty where good."""
    for number, (y_min, x_min, y_max, x_max) in enumerate(boxes, start=1):
        if not (0 <= y_min < y_max <= 1 and 0 <= x_min < x_max <= 1):
            return f"stored box {number} is empty or reaches beyond the square"
    return ""

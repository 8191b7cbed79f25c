"""A ``chexpert`` dataset that TFDS has prepared, unpacked into the folder form that CheXpert has by itself.

TFDS keeps the original bytes of every image, its path, the frontal or lateral and the 14 labels; sex, age and AP or PA
are not in it and come out blank. Layout of the dataset: ``tensorflow_datasets/image_classification/chexpert.py``.
"""

from __future__ import annotations

import csv
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxr_tasks.contracts.artifacts import sha256_json
from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.labels import CHEXPERT_SPELLINGS
from cxr_tasks.installation.progress_lines import with_progress
from cxr_tasks.installation.storage.changes import new_file
from cxr_tasks.installation.storage.files import (
    is_of_the_system,
    published_folder,
    read_json,
    replaced_file,
    sha256_file,
)
from cxr_tasks.installation.storage.paths import home
from cxr_tasks.installation.tensorflow_start import start_tensorflow
from cxr_tasks.sources.chexpert.folders import TRAIN_TABLE, VALID_TABLE
from cxr_tasks.sources.chexpert.rows import DETAIL_COLUMNS, DIRECTIONS, parse_path

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

logger = logging.getLogger(__name__)

VERSION = "3.1.0"
_INFO_FILE = "dataset_info.json"
_SPLITS = {"train": ("train", TRAIN_TABLE), "validation": ("valid", VALID_TABLE)}
_FEATURES = {"image": "Image", "image_view": "ClassLabel", "label": "Sequence", "name": "Text"}
#: A label's number in the dataset -> the code in CheXpert's tables; a view's number -> its word there.
_CODE_NAMES = {"uncertain": "-1.0", "positive": "1.0", "negative": "0.0", "unmentioned": ""}
_CODES = tuple(_CODE_NAMES.values())
_VIEW_NAMES = tuple(name.lower() for name in DIRECTIONS)
_PREPARE_AGAIN = "prepare it again with `tfds build chexpert --overwrite`"


def find_prepared(root: Path) -> Path | None:
    """The folder of the prepared dataset: ``root``, or ``3.1.0``, ``chexpert/3.1.0`` in it; None where there is none.

    Raises:
        DataDefect: There is one of another version, of another name or in another file format.
    """
    places = [root, *sorted(root.glob("[0-9]*.*.*")), *sorted(root.glob("chexpert/[0-9]*.*.*"))]
    prepared = [place for place in places if (place / _INFO_FILE).is_file()]
    if not prepared:
        return None
    folder = next(
        (folder_of_version for folder_of_version in prepared if folder_of_version.name == VERSION), prepared[-1]
    )
    _check_info(folder)
    return folder


def unpacked(prepared: Path) -> Path:
    """``home()/chexpert_tfds/<fingerprint>`` with images and tables, made if it is not there: whole or absent.

    It takes as much disk as the dataset itself. Its tables name the collection's own paths.

    Raises:
        DataDefect: The stored dataset is damaged or is not what TFDS writes.
        ConfigurationError: The disk has no room for it.
    """
    folder = home() / "chexpert_tfds" / _fingerprint(prepared)[:16]
    if not folder.is_dir():
        _check_room(prepared, folder.parent)
        with published_folder(folder) as aside:
            _unpack(prepared, aside)
    return folder


def _fingerprint(prepared: Path) -> str:
    """Of the metadata's content and each shard's name, size and time: reading 11 GB to hash them would take minutes."""
    metadata = {
        path.name: sha256_file(path) for path in sorted(prepared.glob("*.json")) + sorted(prepared.glob("*.txt"))
    }
    shards = [(shard.name, shard.stat().st_size, shard.stat().st_mtime_ns) for shard in _shards(prepared)]
    return sha256_json({"metadata": metadata, "shards": shards})


def _shards(prepared: Path) -> list[Path]:
    return sorted(prepared.glob("chexpert-*.tfrecord*"))


def _check_info(folder: Path) -> None:
    info = read_json(folder / _INFO_FILE)
    told = info if isinstance(info, dict) else {}
    expected = {"name": "chexpert", "version": VERSION, "fileFormat": "tfrecord"}
    for key, value in expected.items():
        if told.get(key) != value:
            raise DataDefect(
                f"{folder / _INFO_FILE}: expected {key} {value!r}, found {told.get(key)!r}; {_PREPARE_AGAIN}"
            )
    splits = told.get("splits")
    names = [split.get("name") for split in splits if isinstance(split, dict)] if isinstance(splits, list) else []
    if sorted(map(str, names)) != sorted(_SPLITS):
        raise DataDefect(
            f"{folder / _INFO_FILE}: expected the splits {', '.join(_SPLITS)}, found {names}; {_PREPARE_AGAIN}"
        )
    _check_features(folder / "features.json")
    _check_names(folder / "label.labels.txt", tuple(_CODE_NAMES))
    _check_names(folder / "image_view.labels.txt", _VIEW_NAMES)


def _check_features(path: Path) -> None:
    told = read_json(path)
    try:
        features = {
            name: feature["pythonClassName"].rpartition(".")[2]
            for name, feature in told["featuresDict"]["features"].items()
        }
    except (TypeError, KeyError, AttributeError):
        features = {}
    if features != _FEATURES:
        expected, named = (
            ", ".join(f"{name}: {kind}" for name, kind in kinds.items()) for kinds in (_FEATURES, features)
        )
        raise DataDefect(f"{path}: expected the features {expected}, found {named or 'none'}; {_PREPARE_AGAIN}")


def _check_names(path: Path, expected: tuple[str, ...]) -> None:
    """Numbers in the records count lines of these files, so the order matters as much as the words."""
    try:
        names = tuple(path.read_text(encoding="utf-8").split())
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise DataDefect(f"{path}: expected the names {', '.join(expected)}: {error}; {_PREPARE_AGAIN}") from None
    if names != expected:
        raise DataDefect(f"{path}: expected {', '.join(expected)}, found {', '.join(names)}; {_PREPARE_AGAIN}")


def _check_room(prepared: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    needed = sum(shard.stat().st_size for shard in _shards(prepared))
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ConfigurationError(
            f"{folder}: unpacking the TFDS dataset needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free; "
            "free some, set CXR_HOME to a larger disk, or give the folder CheXpert-v1.0-small itself"
        )


def _unpack(prepared: Path, folder: Path) -> None:
    """Write ``train.csv`` and ``valid.csv`` and every image, byte for byte, below ``folder``."""
    start_tensorflow()
    import tensorflow as tf

    builder = _opened(prepared)
    for split, (image_folder, table) in _SPLITS.items():
        (folder / image_folder).mkdir()
        try:
            _write_split(prepared, split, builder, folder / table)
        except (tf.errors.OpError, ValueError) as error:
            if is_of_the_system(error):
                raise
            # Damaged records; and TFDS itself counts the images of a split against its metadata.
            told = getattr(error, "message", error)
            raise DataDefect(f"{prepared}: {split} cannot be read: {told}; {_PREPARE_AGAIN}") from error


def _opened(prepared: Path) -> tfds.core.DatasetBuilder:
    """The dataset, all of whose shards are there."""
    import tensorflow as tf
    import tensorflow_datasets as tfds
    from google.protobuf import json_format

    # What damaged metadata raises is what TFDS's parsers happen to raise.
    kinds = (OSError, ValueError, KeyError, TypeError, AttributeError, tf.errors.OpError, json_format.Error)
    try:
        builder = tfds.builder_from_directory(str(prepared))
        needed = [Path(str(path)) for split in _SPLITS for path in builder.info.splits[split].filepaths]
    except kinds as error:
        if is_of_the_system(error):
            raise
        raise DataDefect(f"{prepared}: the metadata cannot be read: {error}; {_PREPARE_AGAIN}") from error
    there = set(_shards(prepared))
    absent = [path for path in needed if path not in there]
    if absent:
        raise DataDefect(
            f"{prepared}: {len(absent)} of {len(needed)} shards are absent, such as {absent[0]}; "
            f"fetch the whole folder, or {_PREPARE_AGAIN}"
        )
    return builder


def _write_split(prepared: Path, split: str, builder: tfds.core.DatasetBuilder, table: Path) -> None:
    import tensorflow_datasets as tfds

    examples = builder.as_dataset(
        split=split,
        shuffle_files=False,
        decoders={"image": tfds.decode.SkipDecoding()},
        read_config=tfds.ReadConfig(try_autocache=False),
    ).as_numpy_iterator()
    n_images = builder.info.splits[split].num_examples
    with replaced_file(table) as aside, open(aside, "w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow((*DETAIL_COLUMNS, *CHEXPERT_SPELLINGS))
        progress = with_progress(examples, n_items=n_images, what=f"{split} images unpacked", logger=logger)
        rows.writerows(_written(prepared, split, progress, table.parent))


def _written(prepared: Path, split: str, examples: Iterator[Any], folder: Path) -> Iterator[tuple[str, ...]]:
    """The table's row of each example, once its image is on disk."""
    for number, example in enumerate(examples):
        where = f"{prepared}: {split}, example {number}"
        path = parse_path(example["name"].decode("utf-8", "replace"))
        if path is None or not path.listed.startswith(f"{_SPLITS[split][0]}/"):
            raise DataDefect(f"{where}: expected a name like CheXpert-v1.0-small/train/..., found {example['name']!r}")
        codes, view = example["label"], int(example["image_view"])
        if len(codes) != len(CHEXPERT_SPELLINGS) or not all(0 <= code < len(_CODES) for code in codes):
            raise DataDefect(f"{where}: expected 14 labels from 0 to 3, found {list(map(int, codes))}")
        if not 0 <= view < len(DIRECTIONS):
            raise DataDefect(f"{where}: expected image_view 0 or 1, found {view}")
        image = folder / path.listed
        image.parent.mkdir(parents=True, exist_ok=True)
        try:
            with new_file(image) as stream:
                stream.write(example["image"])
        except FileExistsError:
            raise DataDefect(f"{where}: {path.listed} is stored twice; {_PREPARE_AGAIN}") from None
        yield (example["name"].decode(), "", "", DIRECTIONS[view], "", *(_CODES[int(code)] for code in codes))

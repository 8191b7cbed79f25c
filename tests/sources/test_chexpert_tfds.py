"""The real TFDS builder prepares a small CheXpert folder, offline; what is scanned from it is what the tables say."""

from __future__ import annotations

import io
import json
import math
import os
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.labels import CHEXPERT_SPELLINGS
from cxr_tasks.contracts.specs import DatasetSpec
from cxr_tasks.sources.base import SourceScan
from cxr_tasks.sources.chexpert import from_tfds
from cxr_tasks.sources.chexpert.source import SOURCE
from tests.sources.chexpert_files import Chexpert, row

N_TRAIN = 14


def scan(root: Path) -> SourceScan:
    options = {"frontal_only": False}
    return SOURCE.scan(root, DatasetSpec(name="c", source="chexpert", vocabulary="chexpert14", options=options))


def jpeg(listed: str) -> bytes:
    """A grey picture of its own per path."""
    rng = np.random.default_rng(zlib.crc32(listed.encode()))
    stream = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (40, 50), dtype=np.uint8)).save(stream, format="JPEG", quality=90)
    return stream.getvalue()


def tables() -> Chexpert:
    """Every finding has every code once in 14 rows; the finding after it a row later."""
    codes = ["1.0", "0.0", "-1.0", "", "", "0.0", "1.0"]
    train = []
    for number in range(N_TRAIN):
        direction = "lateral" if number % 5 == 4 else "frontal"
        labels = {name: codes[(number + place) % len(codes)] for place, name in enumerate(CHEXPERT_SPELLINGS)}
        train.append(row(f"train/patient{number // 2 + 1:05d}/study{number % 2 + 1}/view1_{direction}.jpg", **labels))
    return Chexpert(train=train)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TFDS ``manual_dir``."""
    return tables().write(tmp_path_factory.mktemp("chexpert") / "manual", content=jpeg)


@pytest.fixture(scope="module")
def prepared_once(original: Path) -> Path:
    import tensorflow_datasets as tfds

    builder = tfds.builder("chexpert", data_dir=str(original.parent / "tfds"))
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=str(original), try_download_gcs=False)
    )
    return Path(builder.data_path)


@pytest.fixture
def prepared(prepared_once: Path, tmp_path: Path, cxr_home: Path) -> Iterator[Path]:
    """A copy of the prepared dataset that a test may damage, under ``tmp_path/tfds/chexpert``."""
    return shutil.copytree(prepared_once, tmp_path / "tfds" / "chexpert" / prepared_once.name)


@pytest.mark.tf
def test_states_views_patients_and_bytes_are_those_of_the_tables(original, prepared, cxr_home):
    expected, found = scan(original), scan(prepared)
    assert len(expected.records) == N_TRAIN + 1

    def told(result: SourceScan) -> list[object]:
        return [(r.image_id, r.patient_id, r.study_id, dict(r.states), r.official_split) for r in result.records]

    assert told(found) == told(expected)
    assert [r.view for r in found.records] == [
        "lateral" if r.view == "lateral" else "unknown" for r in expected.records
    ]
    assert {r.sex for r in found.records} == {"unknown"}
    assert all(math.isnan(r.age_years) for r in found.records)
    for record in found.records:
        assert (found.root / record.image_id).read_bytes() == (expected.root / record.image_id).read_bytes()
    assert found.root.parent == cxr_home / "chexpert_tfds"
    assert f"read from the TFDS dataset {prepared}: it holds no sex, no age and no AP or PA" in found.notes


@pytest.mark.tf
def test_it_is_unpacked_once_and_anew_when_a_shard_changes(prepared):
    first = scan(prepared).root
    made = {path: path.stat().st_mtime_ns for path in first.rglob("*")}
    # The folder of all TFDS datasets, and the dataset's own, mean the same.
    assert [scan(root).root for root in (prepared.parent, prepared.parent.parent)] == [first, first]
    assert {path: path.stat().st_mtime_ns for path in first.rglob("*")} == made
    shard = next(prepared.glob("*train.tfrecord*"))
    os.utime(shard, (1, 1))
    assert scan(prepared).root != first


def set_info(prepared: Path, **values: object) -> None:
    path = prepared / "dataset_info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def cut_shard(prepared: Path, keep: float) -> None:
    shard = next(prepared.glob("*train.tfrecord*"))
    shard.write_bytes(shard.read_bytes()[: int(shard.stat().st_size * keep)])


def flip_byte(prepared: Path) -> None:
    shard = next(prepared.glob("*train.tfrecord*"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 0xFF
    shard.write_bytes(bytes(content))


def set_split(prepared: Path, **values: object) -> None:
    train, validation = json.loads((prepared / "dataset_info.json").read_text())["splits"]
    set_info(prepared, splits=[train | values, validation])


def set_feature(prepared: Path, name: str, **values: object) -> None:
    path = prepared / "features.json"
    told = json.loads(path.read_text())
    told["featuresDict"]["features"][name] |= values
    path.write_text(json.dumps(told))


@pytest.mark.tf
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: next(d.glob("*train.tfrecord*")).unlink(), "1 of 2 shards are absent, such as .*train"),
        (lambda d: cut_shard(d, 0.4), "train cannot be read: .*truncated record"),
        (flip_byte, "train cannot be read: .*corrupted record"),
        (lambda d: cut_shard(d, 0), "train cannot be read: .*expected to contain 14 elements but contained only 0"),
        (lambda d: set_split(d, shardLengths=["13"]), "expected to contain 13 elements but contained at least 14"),
        (lambda d: set_split(d, shardLengths=["x"]), "the metadata cannot be read"),
        (lambda d: set_split(d, shardLengths=[]), "train cannot be read"),
        (lambda d: set_split(d, filepathTemplate="../{SPLIT}"), "shards are absent"),
        (lambda d: set_info(d, surprise=1), "the metadata cannot be read: .*surprise"),
        (lambda d: set_feature(d, "image", image={}), "the metadata cannot be read"),
        (lambda d: set_feature(d, "name", pythonClassName="os.Text"), "the metadata cannot be read"),
    ],
    ids=["no shard", "cut", "one byte", "empty", "fewer", "no number", "none", "elsewhere", "key", "image", "class"],
)
def test_a_damaged_dataset_names_the_folder_and_leaves_nothing_behind(prepared, cxr_home, damage, message):
    damage(prepared)
    with pytest.raises(DataDefect, match=message) as caught:
        scan(prepared)
    assert str(prepared) in str(caught.value)
    assert "tfds build chexpert --overwrite" in str(caught.value)
    assert list((cxr_home / "chexpert_tfds").iterdir()) == []


def example(**values: object) -> dict[str, object]:
    """What the dataset gives per image."""
    name = b"CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg"
    return {"name": name, "image": b"x", "label": np.full(14, 3), "image_view": np.int64(0)} | values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"name": b"../../etc/passwd"},
            "expected a name like CheXpert-v1.0-small/train/..., found b'../../etc/passwd'",
        ),
        ({"name": b"CheXpert-v1.0-small/valid/patient1/study1/view1_frontal.jpg"}, "expected a name like"),
        ({"name": b"\xff"}, "expected a name like"),
        ({"label": np.full(13, 3)}, "expected 14 labels from 0 to 3, found [3, 3"),
        ({"label": np.array([4] + [0] * 13)}, "expected 14 labels from 0 to 3, found [4, 0"),
        ({"label": np.array([-1] + [0] * 13)}, "expected 14 labels from 0 to 3, found [-1, 0"),
        ({"image_view": np.int64(2)}, "expected image_view 0 or 1, found 2"),
        ({}, "train/patient00001/study1/view1_frontal.jpg is stored twice"),
    ],
)
def test_an_example_that_is_not_understood_is_named(tmp_path, values, message):
    rows = from_tfds._written(Path("/prepared"), "train", iter([example(), example(**values)]), tmp_path)
    path = "CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg"
    assert next(rows) == (path, "", "", "Frontal", "", *[""] * 14)
    with pytest.raises(DataDefect) as caught:
        next(rows)
    assert str(caught.value).startswith(f"/prepared: train, example 1: {message}")
    assert [one.name for one in tmp_path.rglob("*") if one.is_file()] == ["view1_frontal.jpg"]


@pytest.fixture
def metadata(tmp_path: Path, cxr_home: Path) -> Path:
    """What TFDS writes beside the shards, as far as it is looked at before TensorFlow starts."""
    folder = tmp_path / "chexpert" / "3.1.0"
    folder.mkdir(parents=True)
    info = {"name": "chexpert", "version": "3.1.0", "fileFormat": "tfrecord"}
    info |= {"splits": [{"name": "train"}, {"name": "validation"}]}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    kinds = {"image": "f.Image", "image_view": "c.ClassLabel", "label": "s.Sequence", "name": "t.Text"}
    features = {name: {"pythonClassName": kind} for name, kind in kinds.items()}
    (folder / "features.json").write_text(json.dumps({"featuresDict": {"features": features}}))
    (folder / "label.labels.txt").write_text("uncertain\npositive\nnegative\nunmentioned\n")
    (folder / "image_view.labels.txt").write_text("frontal\nlateral\n")
    (folder / "chexpert-train.tfrecord-00000-of-00001").write_bytes(b"x" * 1000)
    return folder


@pytest.mark.parametrize("below", ["", "chexpert", "chexpert/3.1.0"])
def test_the_prepared_folder_is_found_in_the_folders_around_it(tmp_path, metadata, below):
    assert from_tfds.find_prepared(tmp_path / below) == metadata


def test_the_collections_own_tables_are_preferred_to_the_prepared_dataset(tmp_path, metadata):
    root = Chexpert().write(tmp_path)
    assert scan(root).records[0].sex == "female"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "nih14"}, r"expected name 'chexpert', found 'nih14'"),
        ({"version": "2.0.0"}, r"expected version '3\.1\.0', found '2\.0\.0'"),
        ({"fileFormat": "array_record"}, r"expected fileFormat 'tfrecord', found 'array_record'"),
        ({"splits": [{"name": "train"}]}, r"expected the splits train, validation, found \['train'\]"),
        ({"splits": "none"}, r"expected the splits train, validation, found \[\]"),
    ],
)
def test_another_dataset_is_refused_by_what_its_metadata_says(metadata, values, message):
    set_info(metadata, **values)
    with pytest.raises(DataDefect, match=message) as caught:
        scan(metadata)
    assert str(metadata / "dataset_info.json") in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "\x00", "{}", '{"featuresDict": []}', '{"splits": [1]}'])
@pytest.mark.parametrize("name", ["dataset_info.json", "features.json"])
def test_broken_metadata_is_named(metadata, name, text):
    (metadata / name).write_text(text)
    with pytest.raises(DataDefect, match=f"{name}: expected"):
        scan(metadata)


def test_features_of_another_dataset_are_named(metadata):
    path = metadata / "features.json"
    path.write_text(path.read_text().replace("image_view", "view"))
    with pytest.raises(DataDefect, match="found image: Image, view: ClassLabel, label: Sequence, name: Text"):
        scan(metadata)


@pytest.mark.parametrize(
    "names", ["positive\nuncertain\nnegative\nunmentioned\n", "uncertain\npositive\nnegative\n", None]
)
def test_label_numbers_that_mean_something_else_are_refused(metadata, names):
    path = metadata / "label.labels.txt"
    path.unlink()
    if names is not None:
        path.write_text(names)
    with pytest.raises(DataDefect, match=r"label\.labels\.txt: expected .*uncertain, positive, negative, unmentioned"):
        scan(metadata)


def test_a_full_disk_is_told_before_anything_is_written(metadata, monkeypatch, cxr_home):
    usage = shutil.disk_usage("/")._replace(free=999)
    monkeypatch.setattr(from_tfds.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ConfigurationError, match=r"needs 0\.0 GB, 0\.0 GB are free; free some, set CXR_HOME"):
        scan(metadata)
    assert list((cxr_home / "chexpert_tfds").iterdir()) == []

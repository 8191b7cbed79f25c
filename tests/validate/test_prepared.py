"""Datasets written by the project's own store, as they are and with faults planted in index, shards or metadata."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
from cxr_tasks.contracts.labels import SPLITS, findings_of, label_column
from cxr_tasks.contracts.recipes import load_recipe
from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.installation.storage.files import read_json, reference_to, verified_path
from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.validate.prepared import validate_prepared
from tests.builders import manifest_table

pytestmark = [pytest.mark.tf, pytest.mark.gx]

SIZE_PX = 16
FINDINGS = findings_of("shared7")
BASE = load_recipe("synthetic_binary")
RECIPE = dataclasses.replace(BASE, dataset=dataclasses.replace(BASE.dataset, name="made", vocabulary="shared7"))
COUNTS = {"train": 12, "validation": 6, "test": 8}


def make_index():
    """An index with all label states, boxes on some images, and unknown ages."""
    from cxr_tasks.prepare.index_rows import index_of

    n = sum(COUNTS.values())
    states = np.array(["positive", "negative", "uncertain", "unmentioned"])
    box = json.dumps([{"finding": "edema", "x": 64, "y": 64, "width": 128, "height": 32}])
    manifest = manifest_table(
        n,
        FINDINGS,
        split=np.repeat(list(COUNTS), list(COUNTS.values())),
        view=np.where(np.arange(n) % 2, "pa", "ap"),
        sex="female",
        age_years=np.where(np.arange(n) % 5 == 0, np.nan, 40.5),
        boxes=np.where(np.arange(n) % 4 == 0, box, "[]"),
        **{label_column(finding): states[(np.arange(n) + place) % 4] for place, finding in enumerate(FINDINGS)},
    )
    return index_of(manifest, "shared7", PixelSpec(size_px=SIZE_PX), salt="s", secret=b"k" * 32)


def write(folder: Path, *, blank: str = "") -> PreparedDataset:
    """The dataset of ``make_index()`` in ``folder``; the image ``blank`` has one grey value."""
    from cxr_tasks.prepare.shards import write_dataset

    index = make_index()
    rng = np.random.default_rng(0)
    pixels = {
        split: [
            (place, np.full((SIZE_PX, SIZE_PX, 1), 77, np.uint8))
            if image == blank
            else (place, rng.integers(0, 255, (SIZE_PX, SIZE_PX, 1)).astype(np.uint8))
            for place, image in enumerate(index.loc[index["split"] == split, "image_id"])
        ]
        for split in SPLITS
    }
    splits = {split: index[index["split"] == split] for split in SPLITS}
    write_dataset(folder, "made", splits=splits, pixels=pixels, vocabulary="shared7", size_px=SIZE_PX)
    return handoff(folder, index)


def handoff(folder: Path, index: pd.DataFrame, **counts: int) -> PreparedDataset:
    index.to_parquet(folder / "index.parquet", index=False)
    given = {f"n_{split}": n for split, n in COUNTS.items()} | counts
    return PreparedDataset(
        dataset="made", folder=str(folder), fingerprint="f" * 64, index=reference_to(folder / "index.parquet"),
        vocabulary="shared7", size_px=SIZE_PX, **given,
    )  # fmt: skip


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    write(folder)
    return folder


@pytest.fixture
def copy(dataset, tmp_path):
    """A copy of the dataset's folder that a test may break."""
    return Path(shutil.copytree(dataset, tmp_path / "copy"))


@pytest.fixture
def paths(cxr_home):
    return RunPaths.for_run("cxr_dataset_multilabel", "r1")


def failed_of(paths):
    record = read_json(paths.stage("validate_prepared") / "validation.json")
    return {one["about"]: one["offending_rows"] for one in record["outcomes"] if not one["success"]}


def test_a_stored_dataset_passes_with_record_and_data_docs(dataset, paths):
    reference = validate_prepared(handoff(dataset, make_index()), RECIPE, paths)
    record = read_json(verified_path(reference))
    assert record["success"] is True
    assert record["n_failed"] == {"critical": 0, "warning": 0}
    assert record["n_stored"] == COUNTS
    assert record["fingerprint"] == "f" * 64
    assert (paths.stage("validate_prepared") / "data_docs" / "index.html").is_file()


def test_facts_are_those_of_each_example(dataset):
    from cxr_tasks.validate.stored_facts import open_stored, stored_facts

    facts = stored_facts(open_stored(dataset), "validation", FINDINGS)
    rows = make_index().query("split == 'validation'").reset_index(drop=True)
    same = ["image_id", "patient_key", "source", "view", "sex", "age_years", *map(label_column, FINDINGS)]
    pd.testing.assert_frame_equal(facts[same], rows[same], check_dtype=False)
    assert facts["n_boxes"].tolist() == [len(json.loads(text)) for text in rows["boxes"]]
    assert (facts["deviation"] > 0.2).all()
    assert stored_facts(open_stored(dataset), "nosuch", FINDINGS).empty


def test_faults_of_single_rows_are_told_by_their_expectations(copy, paths):
    index = make_index()
    planted = [
        (0, {"label_edema": "negative"}, "the label states stored are those of the index"),
        (2, {"view": "lateral"}, "patient key, source, view, sex and age stored are those of the index"),
        (4, {"patient_key": "p001"}, "patients are told by a key of 16 hex digits, never by their id"),
        (6, {"patient_key": index.loc[20, "patient_key"]}, "a patient is in one split only"),  # row 20 is in test
        (8, {"boxes": "[]"}, "boxes lie in the stored square and are those of the index"),
        (10, {"image_id": "x/other.png"}, "index and stored examples tell of the same images in the same order"),
        (13, {"sex": "f"}, "sex holds known words only"),
    ]
    for row, changes, _ in planted:
        for column, value in changes.items():
            assert index.loc[row, column] != value
            index.loc[row, column] = value
    with pytest.raises(DataDefect) as caught:
        validate_prepared(handoff(copy, index), RECIPE, paths)
    failed = failed_of(paths)
    for row, _, about in planted:
        assert index.loc[row, "image_id"] in {one["image_id"] for one in failed[about]}
        assert about in str(caught.value)
    assert set(failed) == {about for _, _, about in planted}


def test_a_blank_picture_is_told(tmp_path, paths):
    prepared = write(tmp_path / "made", blank="x/003.png")
    with pytest.raises(DataDefect, match="the stored picture is not blank"):
        validate_prepared(prepared, RECIPE, paths)
    assert [one["image_id"] for one in failed_of(paths)["the stored picture is not blank"]] == ["x/003.png"]


@pytest.mark.parametrize(("change", "split"), [("handoff", "train"), ("index", "test")])
def test_counts_that_disagree_are_told_for_their_split(copy, paths, change, split):
    index = make_index()
    prepared = handoff(copy, index, n_train=11) if change == "handoff" else handoff(copy, index.iloc[:-1])
    with pytest.raises(DataDefect, match="agree on the number of examples"):
        validate_prepared(prepared, RECIPE, paths)
    (told,) = failed_of(paths)["handoff, index, TFDS metadata and shards agree on the number of examples"]
    assert told["split"] == split


def cut_off(folder):
    (shard,) = folder.glob("*-test.tfrecord-*")
    shard.write_bytes(shard.read_bytes()[:-20])


def flip_a_byte(folder):
    (shard,) = folder.glob("*-train.tfrecord-*")
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 0xFF
    shard.write_bytes(content)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (cut_off, "test: expected whole TFRecord shards"),
        (flip_a_byte, "train: expected whole TFRecord shards"),
        (lambda folder: next(folder.glob("*-test.tfrecord-*")).unlink(), "test: expected whole TFRecord shards"),
        (lambda folder: (folder / "dataset_info.json").unlink(), "expected a TFDS dataset"),
        (lambda folder: (folder / "features.json").write_text("{"), "expected a TFDS dataset"),
    ],
)
def test_a_dataset_that_cannot_be_read_is_refused_with_what_to_do(copy, paths, broken, message):
    prepared = handoff(copy, make_index())
    broken(copy)
    with pytest.raises(DataDefect, match=message) as caught:
        validate_prepared(prepared, RECIPE, paths)
    assert "prepare the dataset again" in str(caught.value)


def test_a_dataset_of_another_vocabulary_is_refused(dataset, paths):
    with pytest.raises(ConfigurationError, match="expected a dataset of the vocabulary 'pneumonia', found 'shared7'"):
        validate_prepared(handoff(dataset, make_index()), BASE, paths)


@pytest.mark.parametrize(
    ("labels", "mask", "fault"),
    [
        ((1, 0, np.nan, np.nan), (1, 1, 0, 0), ""),
        ((1, 0, 1, 0), (1, 1, 1, 1), ""),  # what an uncertain or unmentioned label counts as is a setting
        ((0, 0, np.nan, np.nan), (1, 1, 0, 0), "a: positive, value 0"),
        ((1, np.nan, np.nan, np.nan), (1, 0, 0, 0), "b: negative, value nan"),
        ((1, 0, np.nan, np.nan), (1, 1, 1, 0), "c: value nan, mask 1"),
        ((1, 0, 1, np.nan), (1, 1, 0, 0), "c: value 1, mask 0"),
        ((1, 0, 0.4, np.nan), (1, 1, 1, 0), "c: value 0.4"),
    ],
)
def test_values_and_masks_that_contradict_a_state_are_told(labels, mask, fault):
    from cxr_tasks.validate.stored_facts import target_fault

    states = ["positive", "negative", "uncertain", "unmentioned"]
    assert target_fault(list("abcd"), states, np.array(labels, float), np.array(mask, float)) == fault


@pytest.mark.parametrize(
    ("box", "is_good"),
    [((0, 0, 1, 1), True), ((0.2, 0.1, 0.4, 0.3), True), ((0.4, 0.1, 0.4, 0.3), False), ((0.2, 0.1, 0.4, 1.2), False)],
)
def test_stored_boxes_lie_in_the_square(box, is_good):
    from cxr_tasks.validate.stored_facts import box_fault

    assert (box_fault(np.array([box])) == "") == is_good

"""The stage as a DAG calls it."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.recipes import load_recipe
from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.datasets.latest import latest_dataset, publish_latest
from cxr_tasks.installation.storage.files import read_json, verified_path
from cxr_tasks.installation.storage.paths import RunPaths, datasets_root
from cxr_tasks.prepare.stage import prepare_dataset
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.tf

RECIPE = dataclasses.replace(load_recipe("synthetic_binary"), pixels=PixelSpec(size_px=16))


def test_a_dataset_is_published_whole_and_not_prepared_twice(
    cxr_home, image_folder, make_manifest, validated, caplog, monkeypatch
):
    from cxr_tasks.images import decode

    studies = validated(image_folder, make_manifest(image_folder))
    prepared = prepare_dataset(studies, RECIPE, RunPaths.for_run("d", "1"))
    folder = Path(prepared.folder)
    assert folder == datasets_root() / "synthetic_binary" / prepared.fingerprint[:16]
    assert (prepared.n_train, prepared.n_validation, prepared.n_test, prepared.size_px) == (4, 4, 4, 16)
    assert {file.name for file in folder.iterdir()} == {
        "dataset_info.json", "features.json", "index.parquet", "content.parquet", "statistics.json", "provenance.json",
        "left_out.csv", "reference_profile.json", "overview.html", "image_statistics.parquet",
        "label_state.labels.txt", "sex.labels.txt", "view.labels.txt",
        *(f"synthetic_binary-{split}.tfrecord-00000-of-00001" for split in ("train", "validation", "test")),
    }  # fmt: skip
    assert pd.read_parquet(verified_path(prepared.index))["split"].value_counts().to_dict() == {
        "train": 4, "validation": 4, "test": 4,
    }  # fmt: skip
    assert json.loads((folder / "statistics.json").read_text())["train"]["pixels"]["n_images"] == 4
    assert json.loads((folder / "reference_profile.json").read_text()) == {"format": 1}
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["validation"] == {"n_expectations": 21, "n_warnings": 2, "sha256": studies.validation.sha256}
    assert not (folder.parent / "latest.json").exists()  # for the task that has read it back to write

    monkeypatch.setattr(decode, "decoded_files", None)  # calling it would fail
    with caplog.at_level(logging.INFO):
        assert prepare_dataset(studies, RECIPE, RunPaths.for_run("d", "2")) == prepared
    assert "prepared already" in caplog.text


def test_an_image_that_does_not_decode_is_listed_and_the_rest_goes_on(
    cxr_home, image_folder, make_manifest, validated, caplog
):
    broken = image_folder / "p0_1.png"
    broken.write_bytes(broken.read_bytes()[:60])
    manifest = make_manifest(image_folder, width_px=30, height_px=30)
    loose = dataclasses.replace(RECIPE, dataset=dataclasses.replace(RECIPE.dataset, quarantine_bound=0.1))
    prepared = prepare_dataset(validated(image_folder, manifest), loose, RunPaths.for_run("d", "1"))
    assert (prepared.n_train, prepared.n_test) == (3, 4)
    assert "p0_1.png" in (Path(prepared.folder) / "left_out.csv").read_text()
    assert "1 of 12 images cannot be decoded" in caplog.text

    with pytest.raises(DataDefect, match=r"more than the share of 0\.05"):
        strict = dataclasses.replace(RECIPE, pixels=PixelSpec(size_px=24))
        prepare_dataset(validated(image_folder, manifest), strict, RunPaths.for_run("d", "2"))
    names = [one.name for one in Path(prepared.folder).parent.iterdir() if not one.name.endswith("-lock")]
    assert names == [Path(prepared.folder).name]  # the good one: nothing half-made


def test_an_empty_split_is_refused(cxr_home, image_folder, make_manifest, validated):
    studies = validated(image_folder, make_manifest(image_folder, split="train"))
    with pytest.raises(DataDefect, match="found none in validation, test"):
        prepare_dataset(studies, RECIPE, RunPaths.for_run("d", "1"))


def test_one_changed_byte_or_setting_makes_a_new_version_beside_the_old(
    cxr_home, image_folder, make_manifest, validated
):
    first = prepare_dataset(validated(image_folder, make_manifest(image_folder)), RECIPE, RunPaths.for_run("d", "1"))
    with open(image_folder / "p3_1.png", "ab") as stream:
        stream.write(b"\0")  # behind the end of the picture, where no decoder looks
    second = prepare_dataset(validated(image_folder, make_manifest(image_folder)), RECIPE, RunPaths.for_run("d", "3"))
    smaller = dataclasses.replace(RECIPE, pixels=PixelSpec(size_px=17))
    third = prepare_dataset(validated(image_folder, make_manifest(image_folder)), smaller, RunPaths.for_run("d", "4"))
    assert len({one.fingerprint for one in (first, second, third)}) == 3
    assert all((Path(one.folder) / "provenance.json").is_file() for one in (first, second, third))


def test_the_version_before_is_on_record(cxr_home, image_folder, make_manifest, validated):
    manifest = make_manifest(image_folder)
    first = prepare_dataset(validated(image_folder, manifest), RECIPE, RunPaths.for_run("d", "1"))
    publish_latest(first)
    second = prepare_dataset(
        validated(image_folder, manifest.assign(age_years=50.0)), RECIPE, RunPaths.for_run("d", "2")
    )
    told = [read_json(Path(one.folder) / "provenance.json")["previous_fingerprint"] for one in (first, second)]
    assert told == [None, first.fingerprint]
    assert latest_dataset(RECIPE.dataset.name) == first


def test_what_a_killed_prepare_left_is_removed_by_the_next_one(
    cxr_home, image_folder, make_manifest, validated, caplog, tmp_path
):
    studies = validated(image_folder, make_manifest(image_folder))
    (tmp_path / "studies.json").write_text(json.dumps(studies.to_payload()))
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED_IN_THE_MIDDLE, str(tmp_path / "studies.json")],
        env={**os.environ, "CXR_HOME": str(cxr_home)},
        cwd=Path(__file__).parents[2],
    )
    assert child.wait(timeout=PATIENCE_S) == -signal.SIGKILL
    folder = datasets_root() / RECIPE.dataset.name
    assert [one for one in folder.iterdir() if one.is_dir() and not one.name.startswith(".")] == []
    (left,) = (one for one in folder.iterdir() if one.is_dir())
    prepared = prepare_dataset(studies, RECIPE, RunPaths.for_run("d", "2"))
    assert Path(prepared.folder).is_dir() and not left.exists()
    assert "which a prepare that was killed left behind" in caplog.text


KILLED_IN_THE_MIDDLE = """
import json, os, signal, sys
from cxr_tasks.contracts.handoffs.dataset import ValidatedStudies
from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.images import decode
from cxr_tasks.prepare import stage
from tests.prepare.test_stage import RECIPE

def read_and_die(root, image_id, file_sha256):
    if image_id.startswith("p5"):  # of the test split: the others are written by then
        os.kill(os.getpid(), signal.SIGKILL)
    return decode.read_verified(root, image_id, file_sha256)

decode.read_decodable = read_and_die
studies = ValidatedStudies.from_payload(json.load(open(sys.argv[1])))
stage.prepare_dataset(studies, RECIPE, RunPaths.for_run("d", "killed"))
"""


def test_two_prepares_of_the_same_input_at_once_both_end_well_and_one_does_the_work(
    cxr_home, image_folder, make_manifest, validated, caplog, monkeypatch
):
    from cxr_tasks.images import decode

    studies = validated(image_folder, make_manifest(image_folder))
    prepare_dataset(studies, dataclasses.replace(RECIPE, pixels=PixelSpec(size_px=20)), RunPaths.for_run("d", "0"))
    read, whole = [], decode.read_decodable
    under_way = threading.Event()

    def slowly(root, *one):
        read.append(one)
        under_way.set()
        time.sleep(0.1)
        return whole(root, *one)

    monkeypatch.setattr(decode, "read_decodable", slowly)
    with caplog.at_level(logging.INFO), ThreadPoolExecutor(2) as pool:
        first = pool.submit(prepare_dataset, studies, RECIPE, RunPaths.for_run("d", "1"))
        assert under_way.wait(PATIENCE_S)
        second = pool.submit(prepare_dataset, studies, RECIPE, RunPaths.for_run("d", "2"))
        assert first.result() == second.result()
    assert len(read) == 12
    assert "another process prepares" in caplog.text and "is prepared already" in caplog.text

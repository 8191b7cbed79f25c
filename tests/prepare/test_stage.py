"""The stage as a DAG calls it."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path

import pandas as pd
import pytest

from cxr_tasks.contracts.artifacts import ArtifactRef
from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.handoffs import PreparedDataset, ValidatedStudies
from cxr_tasks.contracts.paths import RunPaths, datasets_root
from cxr_tasks.contracts.recipes import load_recipe
from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.prepare.stage import prepare_dataset

pytestmark = pytest.mark.tf

RECIPE = dataclasses.replace(load_recipe("synthetic_binary"), pixels=PixelSpec(size_px=16))


def validated(root: Path, manifest: pd.DataFrame, folder: Path) -> ValidatedStudies:
    folder.mkdir(exist_ok=True)
    manifest.to_parquet(folder / "manifest.parquet")
    (folder / "validation.json").write_text("{}")
    return ValidatedStudies(
        dataset=RECIPE.dataset.name,
        root=str(root),
        manifest=ArtifactRef.of(folder / "manifest.parquet"),
        validation=ArtifactRef.of(folder / "validation.json"),
        data_docs="",
        n_expectations=1,
        n_warnings=0,
    )


def test_a_dataset_is_published_whole_and_not_prepared_twice(
    cxr_home, tmp_path, image_folder, make_manifest, caplog, monkeypatch
):
    from cxr_tasks.prepare import decode

    studies = validated(image_folder, make_manifest(image_folder), tmp_path / "in")
    prepared = prepare_dataset(studies, RECIPE, RunPaths.for_run("d", "1"))
    folder = Path(prepared.folder)
    assert folder == datasets_root() / "synthetic_binary" / prepared.fingerprint[:16]
    assert (prepared.n_train, prepared.n_validation, prepared.n_test, prepared.size_px) == (4, 4, 4, 16)
    assert {file.name for file in folder.iterdir()} == {
        "dataset_info.json", "features.json", "index.parquet", "statistics.json", "provenance.json", "left_out.csv",
        "label_state.labels.txt", "sex.labels.txt", "view.labels.txt",
        *(f"synthetic_binary-{split}.tfrecord-00000-of-00001" for split in ("train", "validation", "test")),
    }  # fmt: skip
    assert pd.read_parquet(prepared.index.verified_path())["split"].value_counts().to_dict() == {
        "train": 4, "validation": 4, "test": 4,
    }  # fmt: skip
    assert json.loads((folder / "statistics.json").read_text())["train"]["pixels"]["n_images"] == 4
    latest = json.loads((folder.parent / "latest.json").read_text())
    assert PreparedDataset.from_payload(latest) == prepared

    monkeypatch.setattr(decode, "decode_files", None)  # calling it would fail
    with caplog.at_level(logging.INFO):
        assert prepare_dataset(studies, RECIPE, RunPaths.for_run("d", "2")) == prepared
    assert "prepared already" in caplog.text


def test_an_image_that_does_not_decode_is_listed_and_the_rest_goes_on(
    cxr_home, tmp_path, image_folder, make_manifest, caplog
):
    broken = image_folder / "p0_1.png"
    broken.write_bytes(broken.read_bytes()[:60])
    manifest = make_manifest(image_folder, width_px=30, height_px=30)
    loose = dataclasses.replace(RECIPE, dataset=dataclasses.replace(RECIPE.dataset, quarantine_bound=0.1))
    prepared = prepare_dataset(validated(image_folder, manifest, tmp_path / "in"), loose, RunPaths.for_run("d", "1"))
    assert (prepared.n_train, prepared.n_test) == (3, 4)
    assert "p0_1.png" in (Path(prepared.folder) / "left_out.csv").read_text()
    assert "1 of 12 images cannot be decoded" in caplog.text

    with pytest.raises(DataDefect, match=r"more than the share of 0\.05"):
        strict = dataclasses.replace(RECIPE, pixels=PixelSpec(size_px=24))
        prepare_dataset(validated(image_folder, manifest, tmp_path / "in"), strict, RunPaths.for_run("d", "2"))
    assert len(list(Path(prepared.folder).parent.iterdir())) == 2  # the good dataset and latest.json: nothing half-made


def test_an_empty_split_is_refused(cxr_home, tmp_path, image_folder, make_manifest):
    studies = validated(image_folder, make_manifest(image_folder, split="train"), tmp_path / "in")
    with pytest.raises(DataDefect, match="found none in validation, test"):
        prepare_dataset(studies, RECIPE, RunPaths.for_run("d", "1"))

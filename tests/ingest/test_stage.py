from __future__ import annotations

import dataclasses
import json
import logging
import shutil

import numpy as np
import pandas as pd
import pydicom
import pytest

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.records import MANIFEST_COLUMNS
from cxr_tasks.contracts.specs import DatasetSpec
from cxr_tasks.installation.storage.files import verified_path
from cxr_tasks.installation.storage.paths import RunPaths
from tests.images.dicom.files import dicom_bytes, dicom_dataset, dicom_file, ramp
from tests.ingest.folders import ingest, ingest_source


def test_manifest_has_a_row_per_image_in_the_contract_columns(xrays, recipe, cxr_home):
    ingested, table = ingest(recipe, xrays, cxr_home)
    assert (ingested.n_images, ingested.n_patients, ingested.n_quarantined) == (68, 68, 0)
    assert list(table.columns) == [*MANIFEST_COLUMNS, "label_pneumonia"]
    assert table["image_id"].is_monotonic_increasing
    assert (xrays / table["image_id"][0]).is_file()
    assert table["label_pneumonia"].value_counts().to_dict() == {"positive": 44, "negative": 24}
    assert table["split"].value_counts()["test"] == 8
    assert set(table["source"]) == {"kermany"}


def test_same_files_and_recipe_give_the_same_bytes(xrays, recipe, cxr_home):
    first, _ = ingest(recipe, xrays, cxr_home, "r1")
    second, _ = ingest(recipe, xrays, cxr_home, "r2")
    assert first.manifest.uri != second.manifest.uri
    assert first.manifest.sha256 == second.manifest.sha256
    assert first.quarantine.sha256 == second.quarantine.sha256


def test_unusable_files_go_to_quarantine_and_the_run_goes_on(xrays, lenient_recipe, cxr_home, caplog):
    folder = xrays / "train" / "NORMAL"
    (folder / "IM-0900-0001.jpeg").write_bytes(b"")
    (folder / "IM-0901-0001.jpeg").write_bytes(b"<html>")
    (folder / "holiday.jpeg").write_bytes(b"anything")
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / "Thumbs.db").write_bytes(b"x")
    (xrays / "__MACOSX").mkdir()
    with caplog.at_level(logging.INFO):
        ingested, table = ingest(lenient_recipe, xrays, cxr_home)
    quarantine = pd.read_csv(verified_path(ingested.quarantine)).set_index("image_id")["reason"]
    assert quarantine.to_dict() == {
        "train/NORMAL/IM-0900-0001.jpeg": "empty_file",
        "train/NORMAL/IM-0901-0001.jpeg": "not_an_image",
        "train/NORMAL/holiday.jpeg": "unknown_patient",
    }
    assert (ingested.n_images, ingested.n_quarantined, len(table)) == (68, 3, 68)
    assert "ignored 1 x .DS_Store" in caplog.text
    assert "3 files are in quarantine" in caplog.text


def test_dicom_files_that_are_not_read_go_to_quarantine_with_what_to_do(xrays, lenient_recipe, cxr_home):
    """HTJ2K, and several pictures in one file, uncompressed and compressed: of the wide world, not of this platform."""
    pixels = ramp(80, 96)
    several = np.stack([pixels] * 3)
    fragments = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xd9"] * 3)
    compressed = dicom_dataset(pixels, NumberOfFrames=3, PixelData=fragments)
    compressed["PixelData"].is_undefined_length = True
    compressed.file_meta.TransferSyntaxUID = pydicom.uid.JPEGBaseline8Bit
    files = {
        "IM-0900-0001.dcm": dicom_bytes(dicom_dataset(pixels), pydicom.uid.HTJ2KLossless, b"\xff\x4f\xff\x51" * 9),
        "IM-0901-0001.dcm": dicom_file(pixels, NumberOfFrames=3, PixelData=several.tobytes()),
        "IM-0902-0001.dcm": dicom_bytes(compressed),
        "IM-0903-0001.dcm": dicom_file(pixels),
    }
    for name, content in files.items():
        (xrays / "train" / "NORMAL" / name).write_bytes(content)
    ingested, table = ingest(lenient_recipe, xrays, cxr_home)
    assert (ingested.n_images, "train/NORMAL/IM-0903-0001.dcm" in set(table["image_id"])) == (69, True)
    quarantine = pd.read_csv(verified_path(ingested.quarantine)).set_index("image_id")
    assert quarantine["reason"].to_dict() == {
        "train/NORMAL/IM-0900-0001.dcm": "unsupported_transfer_syntax",
        "train/NORMAL/IM-0901-0001.dcm": "many_frames",
        "train/NORMAL/IM-0902-0001.dcm": "many_frames",
    }
    assert "HTJ2K" in quarantine["detail"].iloc[0]
    assert quarantine["detail"].iloc[1:].tolist() == ["expected one picture, found 3"] * 2
    assert quarantine["action"].notna().all()


def test_too_many_unusable_files_end_the_run_and_leave_the_quarantine(xrays, recipe, cxr_home):
    for path in sorted((xrays / "train" / "NORMAL").iterdir())[:10]:
        path.write_bytes(b"")
    with pytest.raises(DataDefect, match=r"10 of 68 files \(14.7%\) cannot be used"):
        ingest(recipe, xrays, cxr_home)
    assert len(pd.read_csv(RunPaths.for_run("cxr_dataset_binary", "r1").stage("ingest") / "quarantine.csv")) == 10


def test_the_data_folder_is_only_read(xrays, recipe, cxr_home):
    def state():
        return {path: path.lstat().st_mtime_ns for path in sorted(xrays.rglob("*"))} | {
            xrays: xrays.lstat().st_mtime_ns
        }

    before = state()
    ingest(recipe, xrays, cxr_home)
    assert state() == before


def test_equal_pictures_under_two_names_are_on_one_side(xrays, recipe, cxr_home):
    test_image = next((xrays / "test" / "PNEUMONIA").iterdir())
    shutil.copy(test_image, xrays / "train" / "PNEUMONIA" / "person900_virus_900.jpeg")
    _, table = ingest(recipe, xrays, cxr_home)
    copies = table[table["pixel_hash"].duplicated(keep=False)]
    assert len(copies) == 2
    assert set(copies["split"]) == {"test"}


def test_archive_folder_is_found_and_root_tells_it(xrays, recipe, cxr_home, tmp_path):
    (tmp_path / "download").mkdir()
    xrays.rename(tmp_path / "download" / "chest_xray")
    ingested, table = ingest(recipe, tmp_path / "download", cxr_home)
    assert ingested.root == str(tmp_path / "download" / "chest_xray")
    assert len(table) == 68


def test_phantoms_are_ingested_with_their_boxes(recipe, cxr_home):
    spec = DatasetSpec(name="tiny", source="synthetic", vocabulary="pneumonia", options={"n_images": 40, "size_px": 96})
    ingested = ingest_source(dataclasses.replace(recipe, dataset=spec), None, RunPaths.for_run("d", "r"))
    table = pd.read_parquet(verified_path(ingested.manifest))
    boxes = table.set_index("image_id")["boxes"].map(json.loads)
    is_positive = table.set_index("image_id")["label_pneumonia"] == "positive"
    assert ingested.n_images == 40
    assert (boxes[is_positive].map(len) > 0).mean() > 0.9
    assert (boxes[~is_positive].map(len) == 0).all()
    assert set(boxes[is_positive].iloc[0][0]) == {"finding", "x", "y", "width", "height"}


def test_a_run_without_folder_says_what_to_set(recipe, cxr_home, monkeypatch):
    monkeypatch.delenv("CXR_KERMANY_ROOT", raising=False)
    with pytest.raises(ConfigurationError, match="set CXR_KERMANY_ROOT"):
        ingest_source(recipe, None, RunPaths.for_run("d", "r"))

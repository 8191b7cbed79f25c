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
from cxr_tasks.contracts.paths import RunPaths
from cxr_tasks.contracts.recipes import load_recipe
from cxr_tasks.contracts.records import MANIFEST_COLUMNS
from cxr_tasks.contracts.specs import DatasetSpec
from cxr_tasks.ingest.inspect import inspect_file
from cxr_tasks.ingest.stage import ingest_source
from cxr_tasks.sources.base import Refusal
from tests.dicom.files import dicom_bytes, dicom_dataset, dicom_file, ramp


def ingest(recipe, root, cxr_home, run="r1"):
    ingested = ingest_source(recipe, str(root), RunPaths.for_run("cxr_dataset_binary", run))
    return ingested, pd.read_parquet(ingested.manifest.verified_path())


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
    quarantine = pd.read_csv(ingested.quarantine.verified_path()).set_index("image_id")["reason"]
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
    quarantine = pd.read_csv(ingested.quarantine.verified_path()).set_index("image_id")
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
    table = pd.read_parquet(ingested.manifest.verified_path())
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


@pytest.mark.data
def test_real_kermany_folder_gives_the_counts_of_its_readme(shared_data, recipe, cxr_home):
    ingested, table = ingest(recipe, shared_data / "kermany", cxr_home)
    assert (ingested.n_images, ingested.n_quarantined) == (1400, 0)
    test = table[table["split"] == "test"]
    assert test["label_pneumonia"].value_counts().to_dict() == {"negative": 112, "positive": 188}
    assert (test["official_split"] == "test").all()
    assert table.groupby("patient_id")["split"].nunique().max() == 1
    repeated = table[table["pixel_hash"].duplicated(keep=False)]
    assert repeated["official_split"].value_counts().to_dict() == {"train": 4, "test": 2}  # 2 pairs and 1 pair
    assert repeated.groupby("pixel_hash")["split"].nunique().max() == 1
    assert set(table.loc[table["mode"] == "L", "file_format"]) == {"JPEG"}


@pytest.mark.data
def test_real_nih_folder_is_ingested_whole_with_its_boxes_scaled(shared_data, cxr_home):
    ingested, table = ingest(load_recipe("nih_cnn"), shared_data / "nih14", cxr_home)
    assert (ingested.n_images, ingested.n_quarantined, ingested.n_patients) == (1223, 0, 973)
    boxes = table["boxes"].map(json.loads)
    assert (boxes.map(len) > 0).sum() == 41
    assert boxes.map(len).sum() == 46
    # Given in pixels of 1024 x 1024, the files are 256 x 256.
    assert max(box["x"] + box["width"] for row in boxes for box in row) <= 256
    pair = table[table["image_id"].str.contains("00002658_00[12]")]
    assert pair["pixel_hash"].nunique() == 1
    assert pair["duplicate_group"].nunique() == 1


@pytest.mark.data
def test_real_folders_give_few_flags(shared_data, recipe, cxr_home):
    for name, folder in (("kermany_cnn", "kermany"), ("nih_cnn", "nih14")):
        _, table = ingest(load_recipe(name), shared_data / folder, cxr_home, run=name)
        assert (table["flags"] == "inverted_suspected").sum() <= 1


@pytest.mark.data
def test_originals_of_odd_form_are_all_usable(shared_data):
    found = {
        path.name: inspect_file(path.parent, path.name)
        for path in sorted((shared_data / "raw_samples").glob("*/*"))
        if path.suffix in {".jpeg", ".png"}
    }
    assert len(found) == 14
    assert [name for name, one in found.items() if isinstance(one, Refusal)] == []


@pytest.mark.data
def test_originals_of_odd_form_are_ingested(shared_data, lenient_recipe, cxr_home, tmp_path):
    for split, name, folder in [
        ("train", "IM-0521-0001.jpeg", "NORMAL"),
        ("train", "person276_virus_569.jpeg", "PNEUMONIA"),
        ("train", "person67_bacteria_332.jpeg", "PNEUMONIA"),
        ("test", "NORMAL2-IM-1362-0001.jpeg", "NORMAL"),
        ("test", "person1716_bacteria_4533.jpeg", "PNEUMONIA"),
    ]:
        (tmp_path / "x" / split / folder).mkdir(parents=True, exist_ok=True)
        shutil.copy(shared_data / "raw_samples" / "kermany" / name, tmp_path / "x" / split / folder / name)
    _, table = ingest(lenient_recipe, tmp_path / "x", cxr_home)
    assert table.set_index("image_id")["mode"].to_dict()["train/PNEUMONIA/person276_virus_569.jpeg"] == "RGB"
    assert table["width_px"].max() == 2890

"""The real X-rays of ../shared/data, each folder whole: what is used of it, what is not, and why."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil

import pydicom
import pytest

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.recipes import load_recipe
from cxr_tasks.contracts.specs import DatasetSpec
from cxr_tasks.images.dicom import patient_hash
from cxr_tasks.installation.storage.files import verified_path
from cxr_tasks.sources.base import Refusal
from tests.ingest.folders import ingest, quarantined
from tests.ingest.inspected_files import inspect_file

pytestmark = pytest.mark.data


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
    assert (table["flags"] == "inverted_suspected").sum() <= 1


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
    assert (table["flags"] == "inverted_suspected").sum() <= 1


def test_originals_of_odd_form_are_all_usable(shared_data):
    found = {
        path.name: inspect_file(path.parent, path.name)
        for path in sorted((shared_data / "raw_samples").glob("*/*"))
        if path.suffix in {".jpeg", ".png"}
    }
    assert len(found) == 14
    assert [name for name, one in found.items() if isinstance(one, Refusal)] == []


def test_originals_of_kermany_are_ingested_whole(shared_data, recipe, cxr_home, tmp_path):
    """The eight files as one pair of class folders; the class is in the name."""
    for path in (shared_data / "raw_samples" / "kermany").iterdir():
        folder = tmp_path / "x" / ("PNEUMONIA" if path.name.startswith("person") else "NORMAL")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder)
    ingested, table = ingest(recipe, tmp_path / "x", cxr_home)
    # person67 has two images.
    assert (ingested.n_images, ingested.n_quarantined, ingested.n_patients) == (8, 0, 7)
    assert table["label_pneumonia"].value_counts().to_dict() == {"positive": 5, "negative": 3}
    assert table.groupby("patient_id")["split"].nunique().max() == 1
    modes = table.set_index("image_id")["mode"]
    assert modes["PNEUMONIA/person276_virus_569.jpeg"] == "RGB"
    assert (table["width_px"].max(), set(table["file_format"])) == (2890, {"JPEG"})


def test_originals_of_nih_are_ingested_whole(shared_data, cxr_home, tmp_path):
    """The six files beside their rows of the label table, without the lists of the official split."""
    for path in (shared_data / "raw_samples" / "nih14").iterdir():
        shutil.copy(path, tmp_path / path.name)
    names = {path.name for path in tmp_path.glob("*.png")}
    header, *lines = (shared_data / "nih14" / "Data_Entry_2017.csv").read_text().splitlines(keepends=True)
    listed = [line for line in lines if line.partition(",")[0] in names]
    (tmp_path / "Data_Entry_2017.csv").write_text("".join([header, *listed]))
    recipe = load_recipe("nih_cnn")
    with pytest.raises(ConfigurationError, match="finds of official splits none .*Set split.test"):
        ingest(recipe, tmp_path, cxr_home)
    recipe = dataclasses.replace(recipe, split=dataclasses.replace(recipe.split, test=0.2))
    ingested, table = ingest(recipe, tmp_path, cxr_home)
    assert (ingested.n_images, ingested.n_quarantined, ingested.n_patients) == (6, 0, 6)
    assert set(table["image_id"]) == names
    labels = table.filter(like="label_")
    # 2 x Atelectasis|Pneumonia, Mass|Nodule, Consolidation|Infiltration, 2 x No Finding
    assert (labels == "positive").sum()[lambda n: n > 0].to_dict() == {
        "label_atelectasis": 2,
        "label_pneumonia": 2,
        "label_mass": 1,
        "label_nodule": 1,
        "label_consolidation": 1,
        "label_infiltration": 1,
    }
    assert ((labels == "positive").sum(axis=1) == 0).sum() == 2


def test_the_dicom_folder_gives_two_chests_and_a_leg_in_quarantine(shared_data, lenient_recipe, cxr_home, tmp_path):
    shutil.copytree(shared_data / "dicom", tmp_path / "scans", copy_function=shutil.copyfile)
    root = tmp_path / "scans"
    root.chmod(0o755)
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.dcm"))
    (root / "labels.csv").write_text("\n".join(["path,pneumonia", *(f"{name},0" for name in files)]))
    spec = DatasetSpec(name="scans", source="dicom", vocabulary="pneumonia", quarantine_bound=0.5)
    ingested, table = ingest(dataclasses.replace(lenient_recipe, dataset=spec), root, cxr_home)
    assert (ingested.n_images, ingested.n_patients) == (2, 2)
    assert quarantined(ingested) == {"not_chest/RG3_J2KI.dcm": "wrong_body_part"}
    assert table["image_id"].str.startswith("chest/").all()
    assert set(table["file_format"]) == {"DICOM"}
    assert table["patient_id"].map(lambda one: bool(re.fullmatch("[0-9a-f]{16}", one))).all()
    theirs = {name: str(pydicom.dcmread(root / name, specific_tags=["PatientID"]).PatientID) for name in files}
    assert table.set_index("image_id")["patient_id"].to_dict() == {
        name: patient_hash(theirs[name]) for name in files if name.startswith("chest/")
    }


def case_recipe(shared_data, case, tmp_path, **options):
    path = tmp_path / f"{case}.yaml"
    path.write_text((shared_data / "cases" / case / "recipe.yaml.txt").read_text())
    recipe = load_recipe(path)
    return dataclasses.replace(recipe, dataset=dataclasses.replace(recipe.dataset, **options))


@pytest.mark.parametrize(
    ("case", "n_images", "n_patients"), [("kermany_mendeley_names", 36, 33), ("kermany_two_class_folders", 40, 40)]
)
def test_cases_in_kermanys_layout_are_ingested_whole(shared_data, recipe, cxr_home, case, n_images, n_patients):
    ingested, table = ingest(recipe, shared_data / "cases" / case, cxr_home)
    assert (ingested.n_images, ingested.n_quarantined, ingested.n_patients) == (n_images, 0, n_patients)
    assert set(table["split"]) == {"train", "validation", "test"}


def test_tables_that_claim_another_range_leave_pictures_as_grey_as_they_are(shared_data, cxr_home, tmp_path):
    case = "dicom_voi_lut_16_says_12_has"
    ingested, table = ingest(case_recipe(shared_data, case, tmp_path), shared_data / "cases" / case, cxr_home)
    assert (ingested.n_images, ingested.n_quarantined) == (24, 0)
    assert table["mean"].between(0.65, 0.75).all()  # 0.04 and 1.0 before
    assert set(table["view"]) == {"pa"}


def test_chests_by_other_words_are_taken_and_the_knee_is_named(shared_data, cxr_home, tmp_path):
    case = "dicom_body_parts"
    recipe = case_recipe(shared_data, case, tmp_path, quarantine_bound=0.1)
    ingested, _ = ingest(recipe, shared_data / "cases" / case, cxr_home)
    assert ingested.n_images == 11
    assert quarantined(ingested) == {"b11.dcm": "wrong_body_part"}
    assert "the body part says: KNEE" in verified_path(ingested.quarantine).read_text()


def test_that_all_images_are_of_one_patient_is_told(shared_data, cxr_home, tmp_path):
    case = "dicom_one_anonymous_patient"
    with pytest.raises(DataDefect, match=r"all 40 images are of one patient.*name the patients in a column 'patient'"):
        ingest(case_recipe(shared_data, case, tmp_path), shared_data / "cases" / case, cxr_home)


def test_messages_name_what_is_odd(shared_data, cxr_home, lenient_recipe, tmp_path):
    root = tmp_path / "scans"
    shutil.copytree(shared_data / "cases" / "dicom_messages", root, copy_function=shutil.copyfile)
    root.chmod(0o755)
    names = sorted(path.name for path in root.glob("*.dcm"))
    (root / "labels.csv").write_text("\n".join(["path,pneumonia", *(f"{name},0" for name in names)]))
    spec = DatasetSpec(name="scans", source="dicom", vocabulary="pneumonia", quarantine_bound=1.0)
    split = dataclasses.replace(lenient_recipe.split, test=0.2)
    ingested, table = ingest(dataclasses.replace(lenient_recipe, dataset=spec, split=split), root, cxr_home)
    assert table["image_id"].tolist() == ["decimal_comma.dcm"]
    assert quarantined(ingested) == {
        "empty_pixels.dcm": "no_pixels",
        "from_DICM.dcm": "no_preamble",
        "high_bit_15.dcm": "unsupported_pixels",
        "no_photometric.dcm": "unsupported_pixels",
    }
    told = verified_path(ingested.quarantine).read_text()
    for word in ("PixelData", "preamble", "HighBit", "PhotometricInterpretation"):
        assert word in told

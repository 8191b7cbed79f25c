"""DICOM files where NIH's or CheXpert's layout has a PNG or JPEG: the table says who, the file says what is seen."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from cxr_tasks.contracts.recipes import load_recipe
from tests.images.dicom.files import IDENTIFYING, dicom_file
from tests.ingest.conftest import noise_picture
from tests.ingest.folders import ingest
from tests.sources.chexpert_files import SMALL, Chexpert


def encoded(picture: Image.Image, file_format: str) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, file_format)
    return stream.getvalue()


def noise(seed: int, rows: int, columns: int) -> np.ndarray:
    return np.asarray(noise_picture(seed, width=columns, height=rows))


def nih_folder(root: Path) -> Path:
    """Two patients; the first image is a DICOM file of 256 x 128, where its box refers to 1024 x 1024."""
    (root / "images").mkdir(parents=True)
    header = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"
    rows = [
        "00000001_000.png,Mass,0,1,57,M,AP",
        "00000001_001.png,Mass,1,1,58,M,AP",
        "00000002_000.png,No Finding,0,2,80,F,PA",
    ]
    (root / "Data_Entry_2017.csv").write_text("\n".join([header, *rows]))
    boxes = ["Image Index,Finding Label,Bbox [x,y,w,h],,,", "00000001_000.png,Mass,100,200,300,400"]
    (root / "train_val_list.txt").write_text("00000001_000.png\n00000001_001.png\n")
    (root / "test_list.txt").write_text("00000002_000.png\n")
    (root / "BBox_List_2017.csv").write_text("\n".join(boxes))
    (root / "images" / "00000001_000.dcm").write_bytes(dicom_file(noise(1, 128, 256)))
    for seed, name in enumerate(("00000001_001.png", "00000002_000.png"), start=2):
        (root / "images" / name).write_bytes(encoded(noise_picture(seed), "PNG"))
    return root


def chexpert_folder(root: Path) -> Path:
    """The small folder; of the first of three patients the image is a DICOM file, still under the name of a JPEG."""

    def content(listed: str) -> bytes:
        seed = sum(listed.encode())
        is_first = "patient00001" in listed
        return dicom_file(noise(seed, 96, 80)) if is_first else encoded(noise_picture(seed), "JPEG")

    return Chexpert().write(root, content=content)


def test_in_nih_the_tables_patient_stands_and_boxes_are_scaled_to_the_dicom_picture(tmp_path, cxr_home):
    ingested, table = ingest(load_recipe("nih_cnn"), nih_folder(tmp_path / "nih"), cxr_home)
    assert (ingested.n_images, ingested.n_quarantined, ingested.n_patients) == (3, 0, 2)
    row = table.set_index("image_id").loc["images/00000001_000.dcm"]
    assert (row["file_format"], row["width_px"], row["height_px"]) == ("DICOM", 256, 128)
    assert (row["patient_id"], row["study_id"]) == ("00000001", "00000001_000")
    # The header says PA, F and 71.
    assert (row["view"], row["sex"], row["age_years"]) == ("ap", "male", 57)
    assert json.loads(row["boxes"]) == [{"finding": "mass", "x": 25.0, "y": 25.0, "width": 75.0, "height": 50.0}]
    assert table["file_format"].value_counts().to_dict() == {"PNG": 2, "DICOM": 1}
    assert table.groupby("patient_id")["split"].nunique().max() == 1


def test_in_chexpert_the_tables_patient_stands(tmp_path, cxr_home):
    root = chexpert_folder(tmp_path)
    first = root / SMALL / "train/patient00001/study1/view1_frontal.jpg"
    first.rename(first.with_suffix(".dcm"))
    ingested, table = ingest(load_recipe("chexpert_cnn"), root, cxr_home)
    assert (ingested.n_images, ingested.n_quarantined) == (4, 1)  # a view from the side
    row = table.set_index("image_id").loc["train/patient00001/study1/view1_frontal.dcm"]
    assert (row["file_format"], row["width_px"], row["height_px"]) == ("DICOM", 80, 96)
    assert (row["patient_id"], row["study_id"]) == ("patient00001", "patient00001/study1")
    assert (row["view"], row["sex"], row["age_years"]) == ("ap", "female", 68)
    assert row["label_no_finding"] == "positive"
    assert table["file_format"].value_counts().to_dict() == {"JPEG": 3, "DICOM": 1}


def test_a_dicom_file_under_the_name_of_a_jpeg_is_read_as_what_it_is(tmp_path, cxr_home):
    _, table = ingest(load_recipe("chexpert_cnn"), chexpert_folder(tmp_path), cxr_home)
    formats = table.set_index("image_id")["file_format"]
    assert formats["train/patient00001/study1/view1_frontal.jpg"] == "DICOM"
    assert not table.astype(str).isin(set(IDENTIFYING.values())).any(axis=None)

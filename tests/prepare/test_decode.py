"""Files into pixels, with what goes wrong on the way."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.specs import PixelSpec

pytestmark = pytest.mark.tf

SPEC = PixelSpec(size_px=16)


def index_of_files(root):
    files = sorted(root.glob("*.png"))
    hashes = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    return pd.DataFrame({"image_id": [file.name for file in files], "file_sha256": hashes})


def test_pixels_stand_in_the_order_of_the_index(image_folder):
    from cxr_tasks.images.decode import decode_files
    from cxr_tasks.images.pixels import standard_pixels

    index = index_of_files(image_folder).sample(frac=1, random_state=5)
    into = np.zeros((len(index), 16, 16, 1), np.uint8)
    assert decode_files(image_folder, index, SPEC, into=into) == []
    for row, image_id in enumerate(index["image_id"]):
        expected = standard_pixels((image_folder / image_id).read_bytes(), SPEC).numpy()
        assert np.array_equal(into[row], expected)


def test_one_bad_image_is_left_out_and_its_neighbours_are_not(image_folder):
    from cxr_tasks.images.decode import decode_files

    whole = (image_folder / "p2_0.png").read_bytes()
    (image_folder / "p2_0.png").write_bytes(whole[: len(whole) // 2])
    index = index_of_files(image_folder)
    into = np.zeros((len(index), 16, 16, 1), np.uint8)
    left_out = decode_files(image_folder, index, SPEC, into=into)
    assert [one.image_id for one in left_out] == ["p2_0.png"] and left_out[0].reason
    assert (into.reshape(len(index), -1).max(axis=1) > 0).tolist() == [name != "p2_0.png" for name in index["image_id"]]


@pytest.mark.parametrize(
    ("image_id", "message"),
    [
        ("p0_0.png", "was changed after ingest"),
        ("absent.png", "found none; run ingest again"),
        ("../outside.png", "leads out of it"),
    ],
)
def test_a_file_that_is_not_what_ingest_saw_stops_the_stage(image_folder, image_id, message):
    from cxr_tasks.images.decode import read_verified

    with pytest.raises(DataDefect, match=message):
        read_verified(image_folder, image_id, "0" * 64)


def as_dicom(grey: np.ndarray, **elements) -> bytes:
    """An uncompressed DICOM file of ``grey`` (uint8 or uint16, MONOCHROME2)."""
    import io

    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["test"])
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.BodyPartExamined, dataset.PatientID = "DX", "CHEST", "1"
    dataset.Rows, dataset.Columns = grey.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
    dataset.BitsAllocated = dataset.BitsStored = grey.itemsize * 8
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelData = grey.tobytes()
    for name, value in elements.items():
        setattr(dataset, name, value)
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def test_dicom_files_become_the_pixels_of_the_same_picture_as_png(image_folder):
    from PIL import Image

    from cxr_tasks.images.decode import decode_files

    for name in ("p0_0.png", "p4_1.png"):
        grey = np.asarray(Image.open(image_folder / name))
        (image_folder / f"dicom_{name}").write_bytes(as_dicom(grey))
    (image_folder / "leg.png").write_bytes(as_dicom(grey, BodyPartExamined="LEG"))
    index = index_of_files(image_folder)
    into = np.zeros((len(index), 16, 16, 1), np.uint8)
    left_out = decode_files(image_folder, index, SPEC, into=into)
    assert [one.image_id for one in left_out] == ["leg.png"]
    row = {name: into[place] for place, name in enumerate(index["image_id"])}
    assert np.array_equal(row["dicom_p0_0.png"], row["p0_0.png"]) and row["p0_0.png"].any()
    assert np.array_equal(row["dicom_p4_1.png"], row["p4_1.png"])


def test_a_changed_dicom_file_is_noticed_before_it_is_decoded(image_folder):
    from cxr_tasks.images.decode import read_decodable

    content = as_dicom(np.full((20, 20), 7, np.uint8))
    (image_folder / "one.dcm").write_bytes(content + b"\0")
    with pytest.raises(DataDefect, match="was changed after ingest"):
        read_decodable(image_folder, "one.dcm", hashlib.sha256(content).hexdigest())


@pytest.mark.data
def test_the_dicom_file_and_the_png_of_one_real_picture_give_nearly_the_same_pixels(shared_data):
    from cxr_tasks.images.decode import decode_files

    files = [*(shared_data / "dicom" / "chest").glob("nih_*.dcm"), shared_data / "nih14/images/00000002_000.png"]
    index = pd.DataFrame(
        {
            "image_id": [file.relative_to(shared_data).as_posix() for file in files],
            "file_sha256": [hashlib.sha256(file.read_bytes()).hexdigest() for file in files],
        }
    )
    into = np.zeros((2, 64, 64, 1), np.uint8)
    assert decode_files(shared_data, index, PixelSpec(size_px=64), into=into) == []
    # 1024 px against 256 px of the same picture.
    assert np.corrcoef(into[0].ravel(), into[1].ravel())[0, 1] > 0.99


def test_memory_holds_two_batches_however_long_the_index(image_folder, monkeypatch):
    from cxr_tasks.images import decode

    monkeypatch.setattr(decode, "READ_BATCH", 2)
    read = []
    monkeypatch.setattr(
        decode, "read_decodable", lambda root, *one: read.append(one) or decode.read_verified(root, *one)
    )
    images = decode.decoded_files(image_folder, index_of_files(image_folder), SPEC, left_out=[])
    assert [place for place, _ in zip(range(3), images, strict=False)] == [0, 1, 2]
    images.close()
    assert len(read) <= 6  # the batch in hand, the one decoded, the one read ahead

"""DICOM files for tests, written by pydicom; the header is full of what must never leave it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

#: What names a person, a place or an event in the header; none of it may be found in anything that comes out.
IDENTIFYING = {
    "PatientName": "Doe^Jane",
    "PatientID": "PAT-4711",
    "OtherPatientIDs": "OTHER-0815",
    "PatientBirthDate": "19521103",
    "PatientAddress": "Elm Street 12",
    "AccessionNumber": "ACC99887",
    "InstitutionName": "St Elsewhere",
    "ReferringPhysicianName": "House^Gregory",
    "OperatorsName": "Nurse^Ann",
    "StationName": "ROOM7B",
    "StudyID": "STUDY-77",
    "StudyDate": "20240229",
    "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.111222333",
    "SeriesInstanceUID": "1.2.826.0.1.3680043.8.498.444555666",
    "SOPInstanceUID": "1.2.826.0.1.3680043.8.498.777888999",
    "ImageComments": "seen by Dr House",
}


def ramp(rows: int = 16, columns: int = 24, *, top: int = 255, dtype: Any = np.uint8) -> np.ndarray:
    """Values from 0 to ``top`` in reading order, each pixel another one where there is room."""
    return np.linspace(0, top, rows * columns).round().astype(dtype).reshape(rows, columns)


def dicom_dataset(pixels: np.ndarray, *, bits_stored: int | None = None, **elements: Any) -> Dataset:
    """A chest radiograph of ``pixels``: uint8, int16 or uint16 ``(rows, columns)``, or uint8 ``(rows, columns, 3)``.

    ``elements`` replace or add elements by keyword; None takes one out.
    """
    allocated = pixels.dtype.itemsize * 8
    stored = bits_stored or allocated
    colour = pixels.ndim == 3
    header = {
        **IDENTIFYING,
        "SOPClassUID": DigitalXRayImageStorageForPresentation,
        "Modality": "DX",
        "BodyPartExamined": "CHEST",
        "ViewPosition": "PA",
        "PatientSex": "F",
        "PatientAge": "071Y",
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "SamplesPerPixel": 3 if colour else 1,
        "PlanarConfiguration": 0 if colour else None,
        "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
        "BitsAllocated": allocated,
        "BitsStored": stored,
        "HighBit": stored - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        "PixelData": pixels.tobytes() + b"\0" * (pixels.nbytes % 2),
        **elements,
    }
    dataset = Dataset()
    for keyword, value in header.items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPInstanceUID = IDENTIFYING["SOPInstanceUID"]
    return dataset


def dicom_bytes(dataset: Dataset, syntax: str | None = None, encoded: bytes | None = None) -> bytes:
    """``dataset`` as a file; with ``encoded``, one compressed picture, in place of its pixels.

    ``syntax`` without ``encoded`` lets pydicom compress (RLE, JPEG 2000, JPEG-LS) or write it uncompressed.
    """
    if encoded is not None:
        dataset.PixelData = encapsulate([encoded])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = syntax
    elif syntax is not None:
        from pydicom.uid import UID

        if UID(syntax).is_compressed and not UID(syntax).is_deflated:
            dataset.compress(syntax, generate_instance_uid=False)
        else:
            dataset.file_meta.TransferSyntaxUID = syntax
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True, **_encoding(dataset))
    return stream.getvalue()


def dicom_file(pixels: np.ndarray | None = None, **elements: Any) -> bytes:
    """The bytes of ``dicom_dataset``, uncompressed; a ramp unless told otherwise."""
    return dicom_bytes(dicom_dataset(ramp() if pixels is None else pixels, **elements))


def _encoding(dataset: Dataset) -> dict[str, bool]:
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_transfer_syntax:
        return {"implicit_vr": False, "little_endian": True}
    return {"implicit_vr": syntax.is_implicit_VR, "little_endian": syntax.is_little_endian}


def transcoded(content: bytes, syntax_name: str, folder: Path) -> bytes:
    """A DICOM file with its pixels compressed by GDCM, as ``gdcm.TransferSyntax.<syntax_name>``."""
    import gdcm

    before, after = folder / "before.dcm", folder / "after.dcm"
    before.write_bytes(content)
    reader = gdcm.ImageReader()
    reader.SetFileName(str(before))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax_name)))
    change.SetInput(reader.GetImage())
    assert change.Change(), f"GDCM cannot write {syntax_name} of this picture"
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(after))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return after.read_bytes()

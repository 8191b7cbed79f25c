"""Phantoms as DICOM files: digital X-rays (DX) with made-up patients, compressed or not, either MONOCHROME."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from cxr_tasks.sources.phantoms.layouts.dicom_compression import Compression, compress

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.uid import UID

#: Bits of a stored grey value, of the 16 that it takes in the file.
BITS_STORED = 12
#: Root for ids made from a hash (DICOM PS3.5 B.2); anybody may use it.
_UID_ROOT = "2.25"


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomForm:
    """What stands in the header beside the picture; the patient is made up."""

    patient: str
    study: str
    sex: Literal["male", "female"]
    age_years: int
    view: Literal["pa", "ap", "lateral"]
    is_monochrome1: bool = False
    """Stored with 0 as white, as many detectors do."""
    compression: Compression = "none"
    body_part: str = "CHEST"
    modality: str = "DX"
    has_burnt_in_text: bool = False


def write_dicom(path: Path, pixels: np.ndarray, form: DicomForm) -> None:
    """Write the picture (uint8, (height, width)) to ``path`` as a DX image of 12 bits; same in, same out."""
    import pydicom
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = uid(path.name)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = pydicom.Dataset()
    data.file_meta = meta
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.StudyInstanceUID, data.SeriesInstanceUID = uid(form.study), uid(form.study + " series")
    data.PatientID, data.PatientName = form.patient, f"Phantom^{form.patient}"
    data.PatientSex = form.sex[0].upper()
    data.PatientAge = f"{form.age_years:03d}Y"
    data.Modality, data.BodyPartExamined = form.modality, form.body_part
    data.ViewPosition = {"pa": "PA", "ap": "AP", "lateral": "LL"}[form.view]
    data.BurnedInAnnotation = "YES" if form.has_burnt_in_text else "NO"
    data.PresentationIntentType, data.ImageType = "FOR PRESENTATION", ["ORIGINAL", "PRIMARY"]
    set_pixels(data, pixels, form.is_monochrome1)
    compress(data, form.compression)
    data.save_as(path, enforce_file_format=True)


def set_pixels(data: Dataset, pixels: np.ndarray, is_monochrome1: bool) -> None:
    """Put a picture (uint8) into a dataset that is not compressed, 12 bits stored, with its window."""
    largest = 2**BITS_STORED - 1
    stored = np.rint(pixels.astype(np.float32) * np.float32(largest / 255)).astype("<u2")
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PixelRepresentation = 1, 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, BITS_STORED, BITS_STORED - 1
    data.PhotometricInterpretation = "MONOCHROME1" if is_monochrome1 else "MONOCHROME2"
    data.WindowCenter, data.WindowWidth = 2 ** (BITS_STORED - 1), 2**BITS_STORED
    data.RescaleIntercept, data.RescaleSlope, data.RescaleType = 0, 1, "US"
    data.PixelData = (largest - stored if is_monochrome1 else stored).tobytes()
    data["PixelData"].VR = "OW"


def uid(text: str) -> UID:
    """A DICOM id made from ``text``, the same each time."""
    from pydicom.uid import UID

    return UID(f"{_UID_ROOT}.{int.from_bytes(hashlib.sha256(text.encode()).digest()[:15], 'big')}")

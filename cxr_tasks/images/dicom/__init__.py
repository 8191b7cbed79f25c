"""DICOM files as everything else here sees them: grey pixels, and the few words of the header that may leave a file.

pydicom and numpy are imported when a file is read, not with this package. Left out on purpose: files without the
preamble that names them, colour that is not grey, more than one frame, more than 16 bits.
"""

from __future__ import annotations

from cxr_tasks.images.dicom.header import DicomHeader, patient_hash
from cxr_tasks.images.dicom.image import DicomImage, age_and_view, dicom_as_png, instance_uid, is_dicom, read_dicom
from cxr_tasks.images.dicom.refused import DicomRefused

__all__ = [
    "DicomHeader",
    "DicomImage",
    "DicomRefused",
    "age_and_view",
    "dicom_as_png",
    "instance_uid",
    "is_dicom",
    "patient_hash",
    "read_dicom",
]

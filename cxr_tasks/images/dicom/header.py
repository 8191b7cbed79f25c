"""What a DICOM header says of patient and picture, in this platform's words; ids leave it as keyed hashes only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cxr_tasks.contracts.ages import age_in_years
from cxr_tasks.images.dicom.body_parts import check_body_part
from cxr_tasks.images.dicom.elements import text, word
from cxr_tasks.images.dicom.refused import DicomRefused
from cxr_tasks.images.dicom.views import view_of
from cxr_tasks.installation.patient_keys import patient_key, patient_secret

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

#: Projection radiography (PS3.3, C.7.3.1.1.1): computed, digital, and film that was digitised. DR is no defined term,
#: and still what some detectors write for DX.
RADIOGRAPHS = ("CR", "DX", "DR", "RG")
#: Other modalities that may be named in a refusal.
OTHER_MODALITIES = (
    "CT",
    "MR",
    "US",
    "MG",
    "PT",
    "NM",
    "XA",
    "RF",
    "IO",
    "PX",
    "OT",
    "SC",
    "SR",
    "SEG",
    "PR",
    "KO",
    "DOC",
)

PATIENT_SALT = "dicom patient"
STUDY_SALT = "dicom study"

_SEXES = {"F": "female", "M": "male", "FEMALE": "female", "MALE": "male"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomHeader:
    """All that leaves a header; words as in ``contracts.labels``."""

    patient_id: str
    """Keyed hash, 16 hex digits; '' where the file names no patient."""
    study_id: str
    """Keyed hash of the study's UID; '' where the file names no study."""
    view: str
    sex: str
    age_years: float
    """In [0, 120]; NaN where it is not told. The date of birth is not looked at."""
    modality: str
    """One of ``RADIOGRAPHS``."""
    body_part: str
    """The header's words for it, of those known to ``body_parts``; '' where it names none."""


def patient_hash(patient_id: str) -> str:
    """Keyed hash of a patient id as ``DicomHeader.patient_id`` has it, spaces around it aside; '' for an empty one."""
    return _hash(patient_id.strip(), PATIENT_SALT, patient_secret())


def read_header(dataset: Dataset, *, patient_required: bool, secret: bytes) -> DicomHeader:
    """What is told of one picture that may be used; ``secret`` is that of ``installation.patient_keys``.

    Raises:
        DicomRefused: As ``check_use``; or no patient is named although ``patient_required``.
    """
    modality, body_part = check_use(dataset)
    patient_id = _hash(text(dataset, "PatientID"), PATIENT_SALT, secret)
    if patient_required and not patient_id:
        raise DicomRefused(
            "no_patient",
            "neither the file nor its source names the patient",
            "name the patient in the table of labels, or export the file with a (pseudonymous) patient id",
        )
    return DicomHeader(
        patient_id=patient_id,
        study_id=_hash(text(dataset, "StudyInstanceUID"), STUDY_SALT, secret),
        view=view_of(dataset),
        sex=_SEXES.get(word(dataset, "PatientSex"), "unknown"),
        age_years=age_years_of(dataset),
        modality=modality,
        body_part=body_part,
    )


def check_use(dataset: Dataset) -> tuple[str, str]:
    """Modality and body part of a picture that may be used.

    Raises:
        DicomRefused: Not a radiograph of a chest, raw detector data, or text is burnt into the pixels.
    """
    modality = word(dataset, "Modality")
    if modality not in RADIOGRAPHS:
        told = modality if modality in OTHER_MODALITIES else "another" if modality else "none"
        raise DicomRefused(
            "wrong_modality",
            f"expected modality {', '.join(RADIOGRAPHS)}, found {told}",
            "leave this file out",
        )
    body_part = check_body_part(dataset)
    if word(dataset, "BurnedInAnnotation") == "YES":
        raise DicomRefused(
            "burnt_in_annotation",
            "the header says that text is burnt into the picture, which may name the patient",
            "export the picture without annotations",
        )
    if word(dataset, "PresentationIntentType") == "FOR PROCESSING":
        raise DicomRefused(
            "not_for_presentation",
            "the file holds raw detector values (FOR PROCESSING), not the picture that is read",
            "export the image for presentation",
        )
    return modality, body_part


def age_years_of(dataset: Dataset) -> float:
    """In [0, 120]; NaN for what is no age too: a header may hold anything."""
    try:
        return age_in_years(text(dataset, "PatientAge"))
    except ValueError:
        return math.nan


def _hash(value: str, salt: str, secret: bytes) -> str:
    return patient_key(value, salt=salt, secret=secret) if value else ""

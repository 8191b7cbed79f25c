"""Whether a header says that the picture shows a chest."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cxr_tasks.dicom.elements import text
from cxr_tasks.dicom.refused import DicomRefused

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

#: Words for the chest in (0018,0015) and in descriptions: the terms of PS3.16 Annex L and what other languages write.
CHEST_WORDS = frozenset(
    {"CHEST", "THORAX", "LUNG", "LUNGS", "RIB", "RIBS", "TORAX", "TÓRAX", "TORACE", "POITRINE", "CXR"}
)
_OTHER_PARTS = """
ABDOMEN ANKLE ARM BLADDER BREAST CALCANEUS CERVICAL CSPINE CLAVICLE COCCYX COLON DENTAL ELBOW EXTREMITY FACE FEMUR
FIBULA FINGER FOOT FOREARM GALLBLADDER HAND HEAD HIP HUMERUS JAW KIDNEY KNEE LEG LIVER LSPINE LUMBAR MANDIBLE
MAXILLA NECK ORBIT PATELLA PELVIS RADIUS SACRUM SCAPULA SHOULDER SINUS SKULL SPINE STERNUM STOMACH TEETH THIGH
THUMB TIBIA TOE TSPINE ULNA WHOLEBODY WRIST
"""
#: Words for any other part. A refusal may name them, and a description that holds one is believed.
OTHER_WORDS = frozenset(_OTHER_PARTS.split())
_HOW_TAKEN = """
PA AP LAT LATERAL LATERALS LL RL FRONTAL VIEW VIEWS PORT PORTABLE BED BEDSIDE MOBILE ERECT UPRIGHT SUPINE STANDING
SITTING ADULT CHILD PEDIATRIC PAEDIATRIC INFANT NEONATE LEFT RIGHT UPPER LOWER AND XR CR DX DR
"""
#: Words beside a body part that say how it was taken, not what.
_QUALIFIERS = frozenset(_HOW_TAKEN.split())
_NOT_TOLD = frozenset({"UNKNOWN", "NONE", "UNSPECIFIED", "DEFAULT"})
#: Codes of chest, thorax, lung and rib (CID 4031, PS3.16), as SNOMED CT and in its older form.
_CHEST_CODES = frozenset(
    {"816094009", "51185008", "T-D3000", "39607008", "T-28000", "113197003", "T-11300", "302551006", "43799004"}
)
#: Free texts that tell the part where its own elements do not, the one nearest to the single picture first.
_DESCRIPTIONS = (
    "AcquisitionDeviceProcessingDescription",
    "SeriesDescription",
    "ProtocolName",
    "PerformedProcedureStepDescription",
    "StudyDescription",
)


def check_body_part(dataset: Dataset) -> str:
    """The body part as the header words it, where it is a chest; '' where the header does not tell.

    Asked in this order, and the first that tells decides: the body part, the code of the anatomic region, and whether
    a description names a part. A body part that is not known here is refused: the words for others are endless.

    Raises:
        DicomRefused: Another part than the chest.
    """
    words = _words(text(dataset, "BodyPartExamined")) - _NOT_TOLD - _QUALIFIERS
    if words:
        return _decided(words, words <= CHEST_WORDS, "the body part")
    codes = {text(item, "CodeValue") for item in dataset.get("AnatomicRegionSequence") or ()} - {""}
    if codes:
        return _decided(set(), codes <= _CHEST_CODES, "the code of the anatomic region")
    for keyword in _DESCRIPTIONS:
        words = _words(text(dataset, keyword))
        if words & CHEST_WORDS:
            return _decided(words, True, "")
        if words & OTHER_WORDS:
            return _decided(words, False, "a description")
    return ""


def _decided(words: set[str], is_chest: bool, origin: str) -> str:
    if is_chest:
        return " ".join(sorted(words & CHEST_WORDS))
    named = " ".join(sorted(words & (CHEST_WORDS | OTHER_WORDS))) or "one not known here"
    raise DicomRefused("wrong_body_part", f"expected a chest; {origin} says: {named}", "leave this file out")


def _words(value: str) -> set[str]:
    """Words of two letters or more; ``P.A.`` and numbers fall away."""
    return {word for word in re.split(r"[^A-ZÀ-Þ]+", value.upper()) if len(word) > 1}

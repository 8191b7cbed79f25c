"""From which side a picture was taken, by the elements that say so or by words of free texts."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

from cxr_tasks.images.dicom.body_parts import known_parts, readings, without_accents
from cxr_tasks.images.dicom.elements import raw_text, word

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_VIEW_POSITIONS = {"PA": "pa", "AP": "ap", "LL": "lateral", "RL": "lateral", "LAT": "lateral", "LATERAL": "lateral"}
#: Codes of CID 4010 (PS3.16), as SNOMED CT and in its older form.
_VIEW_CODES = {
    "272479007": "pa",
    "R-40888": "pa",
    "399348003": "ap",
    "R-10206": "ap",
    "399067008": "lateral",
    "R-102CD": "lateral",
    "399198007": "lateral",
    "R-10232": "lateral",
    "399173006": "lateral",
    "R-10236": "lateral",
}
#: Texts about the single picture or its series. That of the study is about all of its pictures.
_TEXTS = ("AcquisitionDeviceProcessingDescription", "SeriesDescription", "ProtocolName", "BodyPartExamined")
_LATERAL = """
LAT LATERAL LATERALE LATERALES LATERALIS LLAT RLAT LATL LATR LATERO SEITLICH SEITL PROFIL PROFILE PROFILO PERFIL
ZIJDELINGS BOCZNE BOCZNA BOCZNY БОКОВАЯ БОКОВОИ
"""
_LATERAL_WORDS = frozenset(_LATERAL.split())
_LATERAL_SIGNS = ("侧位", "側位", "側面", "측면")
#: Lying on one side is taken from the front: the beam is lateral, the view is not.
_FRONTAL = "AP PA FRONTAL FRONTALE FACE FRENTE DECUBITUS DECUB LLD RLD POSTEROANTERIOR"
_FRONTAL_WORDS = frozenset(_FRONTAL.split())
_FRONTAL_SIGNS = ("正位", "正面")


def view_of(dataset: Dataset) -> str:
    """``pa``, ``ap``, ``lateral`` or ``unknown``.

    From the view position, its code, words in it, the patient's orientation, or else words of a text about the picture.
    """
    view = _VIEW_POSITIONS.get(word(dataset, "ViewPosition"))
    if view is None:
        codes = [word(item, "CodeValue") for item in dataset.get("ViewCodeSequence") or ()]
        view = next((_VIEW_CODES[code] for code in codes if code in _VIEW_CODES), None)
    if view is None and _tells_lateral(dataset, "ViewPosition"):
        view = "lateral"
    # Rows that run to the front or back of the patient are seen from the side. Frontal views are alike in both
    # directions: the patient's left is on the right by convention, however the rays went.
    if view is None and word(dataset, "PatientOrientation")[:1] in {"A", "P"}:
        view = "lateral"
    if view is None and not word(dataset, "ViewPosition"):
        told = [is_lateral for keyword in _TEXTS if (is_lateral := _tells_lateral(dataset, keyword)) is not None]
        view = "lateral" if told[:1] == [True] else None
    return view or "unknown"


def _tells_lateral(dataset: Dataset, keyword: str) -> bool | None:
    """Whether a text names the lateral view and no frontal one; None where it names none."""
    written = raw_text(dataset, keyword)
    return _told_by(written) if written else None


@lru_cache(maxsize=4096)
def _told_by(written: str | bytes) -> bool | None:
    for reading in readings(written):
        plain = unicodedata.normalize("NFC", without_accents(reading.upper()))
        found = {part for one in re.findall(r"[^\W\d_]+", plain) for part in (one, *known_parts(one))}
        is_lateral = bool(found & _LATERAL_WORDS) or any(sign in reading for sign in _LATERAL_SIGNS)
        is_frontal = bool(found & _FRONTAL_WORDS) or any(sign in reading for sign in _FRONTAL_SIGNS)
        if is_lateral or is_frontal:
            return is_lateral and not is_frontal
    return None

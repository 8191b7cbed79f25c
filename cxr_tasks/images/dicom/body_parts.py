"""Whether a header says that the picture shows a chest: a word for it, and none for another part."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from cxr_tasks.images.dicom.elements import raw_text, text
from cxr_tasks.images.dicom.part_words import (
    CHARSETS,
    CHEST_SIGNS,
    CHEST_WORDS,
    NOT_TOLD,
    OTHER_SIGNS,
    OTHER_WORDS,
    QUALIFIERS,
)
from cxr_tasks.images.dicom.refused import DicomRefused

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

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


@dataclass(slots=True)
class _Told:
    """What a text names, in words known beforehand: a text may hold a patient's name, and no other word leaves it."""

    chest: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)
    n_unknown: int = 0

    @property
    def named(self) -> str:
        return " ".join(sorted(self.chest | self.others))


def check_body_part(dataset: Dataset) -> str:
    """The body part as the header words it, where it is a chest; '' where the header does not tell.

    Asked in this order, and the first that tells decides: the body part, the code of the anatomic region, and whether
    a description names a part. A word for the chest and none for another part is a chest, whatever stands beside it;
    a body part of unknown words only is refused, unless a description names the chest: those for others are endless.

    Raises:
        DicomRefused: Another part than the chest.
    """
    part = _told(dataset, "BodyPartExamined")
    if part.chest or part.others:
        return _decided(part, "the body part")
    codes = {text(item, "CodeValue") for item in dataset.get("AnatomicRegionSequence") or ()} - {""}
    if codes and not part.n_unknown:
        return _decided(_Told() if codes <= _CHEST_CODES else None, "the code of the anatomic region")
    for keyword in _DESCRIPTIONS:
        told = _told(dataset, keyword)
        if told.chest:
            # Of a description the chest is believed beside other parts: it tells of the study, not of one picture.
            return " ".join(sorted(told.chest))
        if told.others:
            return _decided(told, "a description")
    return _decided(None, "the body part") if part.n_unknown else ""


def _decided(told: _Told | None, origin: str) -> str:
    if told is not None and not told.others:
        return " ".join(sorted(told.chest))
    named = told.named if told else "one not known here"
    raise DicomRefused("wrong_body_part", f"expected a chest; {origin} says: {named}", "leave this file out")


def _told(dataset: Dataset, keyword: str) -> _Told:
    written = raw_text(dataset, keyword)
    return _told_by(written) if written else _Told()


@lru_cache(maxsize=4096)
def _told_by(written: str | bytes) -> _Told:
    """What a text names in the first charset in which it names anything."""
    first = None
    for reading in readings(written):
        told = _words_of(reading)
        if told.chest or told.others:
            return told
        first = first or told
    return first or _Told()


def readings(written: str | bytes) -> list[str]:
    """What a text may say, in one charset after the other, the likeliest first."""
    if isinstance(written, str):
        return [written]
    if written.isascii() and b"\x1b" not in written:
        return [written.decode("ascii")]
    readings = []
    for charset in CHARSETS:
        try:
            readings.append(written.decode(charset))
        except UnicodeDecodeError:
            continue
    # What no charset makes a word of, letter by letter: each run of other bytes is one letter that got lost.
    return [*readings, re.sub(rb"[^\x00-\x7f]+", b"?", written).decode("ascii")]


#: Letters that Unicode does not take for a base letter with a mark.
_PLAIN_LETTERS = {ord(letter): plain for letter, plain in zip("ŁØÆßİĐ", ("L", "O", "AE", "SS", "I", "D"), strict=True)}


def _words_of(reading: str) -> _Told:
    plain = unicodedata.normalize("NFC", without_accents(reading.upper()))
    told = _Told()
    told.others |= {sign for sign in OTHER_SIGNS if sign in reading}
    told.chest |= {sign for sign in CHEST_SIGNS if sign in reading}
    for word in re.findall(r"[^\W\d_?\ufffd]+(?:[?\ufffd]+[^\W\d_?\ufffd]+)*", plain):
        parts = known_parts(word) if len(word) > 1 else []
        told.chest |= CHEST_WORDS.intersection(parts)
        told.others |= OTHER_WORDS.intersection(parts)
        told.n_unknown += len(word) > 1 and not parts
    return told


def without_accents(reading: str) -> str:
    """Capitals without the marks on them: TÓRAX as TORAX."""
    special = reading.translate(_PLAIN_LETTERS)
    return "".join(letter for letter in unicodedata.normalize("NFD", special) if not unicodedata.combining(letter))


def known_parts(word: str) -> list[str]:
    """The known words that make up ``word``: itself, or several written together (CHESTPA); a ``?`` is any letter."""
    known = CHEST_WORDS | OTHER_WORDS | QUALIFIERS | NOT_TOLD
    if word in known:
        return [word]
    if re.search(r"[?\ufffd]", word):
        pattern = re.compile(re.sub(r"[?\ufffd]+", ".", word))
        return sorted(meant for meant in CHEST_WORDS | OTHER_WORDS if len(meant) > 3 and pattern.fullmatch(meant))
    for end in range(len(word) - 2, 1, -1):
        if word[:end] in known and (rest := known_parts(word[end:])):
            return [word[:end], *rest]
    return []

"""Paediatric chest X-rays of Kermany et al. in their folder layout, ``train|val|test/NORMAL|PNEUMONIA``.

File names are those of the set's first publication (``person12_bacteria_34.jpeg``, ``IM-0012-0001.jpeg``), which
Kaggle has, or of its third on Mendeley Data (``BACTERIA-1008087-0001.jpeg``, ``VIRUS-...``, ``NORMAL-...``).

Source: Kermany, Zhang & Goldbaum, Mendeley Data, doi:10.17632/rscbjbr9sj; Cell 172(5) (2018).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.labels import LabelState
from cxr_tasks.contracts.specs import DatasetSpec
from cxr_tasks.sources.base import About, ImageRecord, Refusal, SourceScan
from cxr_tasks.sources.kermany.checks import check_filled, check_places, is_made_of_images
from cxr_tasks.sources.kermany.folders import (
    CLASS_NAMES,
    ClassFolder,
    class_folders,
    layout_root,
    strangers,
    third_classes,
)
from cxr_tasks.sources.reading.files import as_text_name, files_below, ignored_notes, is_text_name

_PNEUMONIA_NAME = re.compile(r"person(?P<patient>\d+)_(?P<kind>bacteria|virus)_\d+\.\w+", re.ASCII | re.IGNORECASE)
# IM-0125-0001-0002.jpeg occurs too: a further image of the same study.
_NORMAL_NAME = re.compile(r"(?:NORMAL\d+-)?IM-(?P<patient>\d+)-\d+(?:-\d+)*\.\w+", re.ASCII | re.IGNORECASE)
_MENDELEY_NAME = re.compile(
    r"(?P<kind>BACTERIA|VIRUS|NORMAL)-(?P<patient>\d+)-\d+(?:-\d+)*\.\w+", re.ASCII | re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class PatientOfName:
    """What a file name tells: the patient key, with its number space in front, and the kind of pneumonia."""

    patient_id: str
    sub_label: str


def patient_of_name(file_name: str) -> PatientOfName | None:
    """Patient and kind from one of the data set's own file names; None where the name fits no known pattern.

    ``person``, ``IM`` and each class word of the third publication count separately, so patient 12 of one is not
    patient 12 of another.

    >>> patient_of_name("person67_bacteria_332.jpeg")
    PatientOfName(patient_id='person67', sub_label='bacteria')
    >>> patient_of_name("NORMAL2-IM-1362-0001.jpeg").patient_id
    'IM1362'
    >>> patient_of_name("BACTERIA-1008087-0002.jpeg")
    PatientOfName(patient_id='BACTERIA1008087', sub_label='bacteria')
    """
    if match := _PNEUMONIA_NAME.fullmatch(file_name):
        return PatientOfName(f"person{int(match['patient'])}", match["kind"].lower())
    if match := _NORMAL_NAME.fullmatch(file_name):
        return PatientOfName(f"IM{int(match['patient'])}", "")
    if match := _MENDELEY_NAME.fullmatch(file_name):
        kind = match["kind"].upper()
        return PatientOfName(f"{kind}{int(match['patient'])}", "" if kind == "NORMAL" else kind.lower())
    return None


ABOUT = About(
    origin=(
        "D. Kermany, K. Zhang, M. Goldbaum: Labeled Optical Coherence Tomography and Chest X-Ray Images for "
        "Classification. Mendeley Data, doi:10.17632/rscbjbr9sj; Cell 172:1122-1131 (2018)."
    ),
    terms=("CC BY 4.0: free to use with attribution."),
    limits=(
        "The images are of children of one hospital (Guangzhou, ages 1 to 5); nothing here says how the model does on "
        "adults, elsewhere or on other machines.",
        "Normal and pneumonia images differ in how they were made as well as in the lungs: brightness, cropping and "
        "the shape of the file. The baselines show how much such traces give away.",
    ),
    patients="see that the numbers in the file names are those of the patients",
    n_train=5_232,
)


class KermanySource:
    """Reads the Kermany layout; outer folders of its archives may be there or not."""

    name = "kermany"
    about = ABOUT

    def own_root(self, spec: DatasetSpec) -> Path | None:
        return None

    def scan(self, root: Path, spec: DatasetSpec) -> SourceScan:
        """All files of the class folders, in sorted order; see ``Source.scan``."""
        if spec.options:
            raise ConfigurationError(f"source 'kermany' has no options, found: {', '.join(spec.options)}")
        return scan_layout(root, spec)


def scan_layout(root: Path, spec: DatasetSpec, *, side_files: tuple[str, ...] = ()) -> SourceScan:
    """The images of a folder in the Kermany layout; files whose name tells no patient are refused, not guessed.

    The layout: ``train``, and perhaps ``test`` and ``val``, each with ``NORMAL`` and ``PNEUMONIA``; or these two
    alone, and then there is no official split. ``side_files`` may stand beside them; images of a third class are
    refused and counted, anything else there is noted as ignored.
    """
    if spec.vocabulary != "pneumonia":
        raise ConfigurationError(
            f"source {spec.source!r} labels pneumonia only: expected vocabulary 'pneumonia', found {spec.vocabulary!r}"
        )
    root = layout_root(root)
    folders = class_folders(root)
    check_places(root, folders)
    records: list[ImageRecord] = []
    refusals, ignored = strangers(root, folders, side_files)
    notes = third_classes(refusals)
    filled = set[Path]()
    for place in folders:
        start = len(place.folder.parts)
        for path in files_below(place.folder, ignored):
            filled.add(place.folder)
            if is_made_of_images("/".join(path.parts[start:-1])):
                ignored[f"{'/'.join(path.parts[len(root.parts) : -1])} (made of the images)"] += 1
                continue
            result = _record_or_refusal(root, path, place)
            if isinstance(result, ImageRecord):
                records.append(result)
            else:
                refusals.append(result)
    if not records and all(refusal.reason == "other_class" for refusal in refusals):
        raise DataDefect(
            f"{root}: the class folders hold no files; expected JPEG files below {CLASS_NAMES}, as "
            f"{as_text_name(folders[0].folder.relative_to(root).as_posix())}/IM-0001-0001.jpeg"
        )
    check_filled(root, folders, filled)
    return SourceScan(
        root=root,
        records=records,
        refusals=tuple(refusals),
        notes=(*_notes_on_split(records), *notes, *ignored_notes(ignored)),
    )


def _notes_on_split(records: Sequence[ImageRecord]) -> list[str]:
    """Patients in test and outside it, by number; ``ingest.grouping.splits`` moves them whole to test."""
    in_test = {record.patient_id for record in records if record.official_split == "test"}
    if not in_test:
        return []
    crossing = [
        record.patient_id for record in records if record.official_split != "test" and record.patient_id in in_test
    ]
    if not crossing:
        return []
    return [
        f"{len(set(crossing))} patients are in test and outside it: their {len(crossing)} images from outside go to "
        "test with them"
    ]


def _record_or_refusal(root: Path, path: Path, place: ClassFolder) -> ImageRecord | Refusal:
    image_id = path.relative_to(root).as_posix()
    if not is_text_name(image_id):
        return Refusal(
            image_id=as_text_name(image_id),
            reason="unreadable_name",
            detail="the path holds bytes that are not UTF-8; no table can hold it",
            action="rename the file or folder",
        )
    patient = patient_of_name(path.name)
    if patient is None:
        return Refusal(
            image_id=image_id,
            reason="unknown_patient",
            detail="expected a name like person12_bacteria_34.jpeg, IM-0012-0001.jpeg, NORMAL2-IM-0012-0001.jpeg or "
            "BACTERIA-1008087-0001.jpeg (VIRUS, NORMAL)",
            action="rename the file so that it carries its patient, or remove it",
        )
    if bool(patient.sub_label) != (place.state is LabelState.POSITIVE):
        return Refusal(
            image_id=image_id,
            reason="label_conflict",
            detail=f"the folder says {place.folder.name}, the file name says {patient.sub_label or 'NORMAL'}",
            action="look at the image and move it to the right folder",
        )
    return ImageRecord(
        image_id=image_id,
        patient_id=patient.patient_id,
        study_id=image_id,
        official_split=place.official_split,
        states={"pneumonia": place.state},
        sub_label=patient.sub_label,
    )


SOURCE = KermanySource()

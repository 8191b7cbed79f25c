"""Paediatric chest X-rays of Kermany et al. in their folder layout, ``train|val|test/NORMAL|PNEUMONIA``.

Source: Kermany, Zhang & Goldbaum, Mendeley Data, doi:10.17632/rscbjbr9sj; Cell 172(5) (2018).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.labels import LabelState
from cxr_tasks.contracts.specs import DatasetSpec
from cxr_tasks.sources._files import (
    as_text_name,
    describe_folder,
    files_below,
    ignored_notes,
    is_litter,
    is_text_name,
    litter_kind,
)
from cxr_tasks.sources._records import PackedRecords
from cxr_tasks.sources.base import ImageRecord, Refusal, SourceScan

SPLIT_FOLDERS = {"train": "train", "val": "validation", "test": "test"}
CLASS_FOLDERS = {"NORMAL": LabelState.NEGATIVE, "PNEUMONIA": LabelState.POSITIVE}

_LAYOUT = "train, val and test, each with NORMAL and PNEUMONIA"
_PNEUMONIA_NAME = re.compile(r"person(?P<patient>\d+)_(?P<kind>bacteria|virus)_\d+\.\w+")
# IM-0125-0001-0002.jpeg occurs too: a further image of the same study.
_NORMAL_NAME = re.compile(r"(?:NORMAL\d+-)?IM-(?P<patient>\d+)-\d+(?:-\d+)*\.\w+")


@dataclass(frozen=True, slots=True)
class PatientOfName:
    """What a file name tells: the patient key, with its number space in front, and the kind of pneumonia."""

    patient_id: str
    sub_label: str


def patient_of_name(file_name: str) -> PatientOfName | None:
    """Patient and kind from one of the data set's own file names; None where the name fits no known pattern.

    ``person`` and ``IM`` count separately, so patient 12 of one is not patient 12 of the other.

    >>> patient_of_name("person67_bacteria_332.jpeg")
    PatientOfName(patient_id='person67', sub_label='bacteria')
    >>> patient_of_name("NORMAL2-IM-1362-0001.jpeg").patient_id
    'IM1362'
    """
    if match := _PNEUMONIA_NAME.fullmatch(file_name):
        return PatientOfName(f"person{int(match['patient'])}", match["kind"])
    if match := _NORMAL_NAME.fullmatch(file_name):
        return PatientOfName(f"IM{int(match['patient'])}", "")
    return None


class KermanySource:
    """Reads the Kermany layout; the archive's outer folder ``chest_xray`` may be there or not."""

    name = "kermany"

    def own_root(self, spec: DatasetSpec) -> Path | None:
        return None

    def scan(self, root: Path, spec: DatasetSpec) -> SourceScan:
        """All files of the class folders, in sorted order; see ``Source.scan``."""
        if spec.options:
            raise ConfigurationError(f"source 'kermany' has no options, found: {', '.join(spec.options)}")
        return scan_layout(root, spec)


def scan_layout(root: Path, spec: DatasetSpec, *, side_files: tuple[str, ...] = ()) -> SourceScan:
    """The images of a folder in the Kermany layout; files whose name tells no patient are refused, not guessed.

    The layout: ``train``, ``test`` and perhaps ``val``, each with ``NORMAL`` and ``PNEUMONIA``; or these two alone,
    and then there is no official split. ``side_files`` may stand beside them; anything else there is noted as ignored.
    """
    if spec.vocabulary != "pneumonia":
        raise ConfigurationError(
            f"source {spec.source!r} labels pneumonia only: expected vocabulary 'pneumonia', found {spec.vocabulary!r}"
        )
    root = _layout_root(root)
    folders = _class_folders(root)
    ignored: Counter[str] = Counter()
    records = PackedRecords()
    refusals = _strangers(root, folders, side_files, ignored)
    for place in folders:
        for path in files_below(place.folder, ignored):
            found = _record_or_refusal(root, path, place)
            if isinstance(found, ImageRecord):
                records.append(found)
            else:
                refusals.append(found)
    if not records and not refusals:
        raise DataDefect(f"{root}: the class folders hold no files; expected JPEG files below train/NORMAL and so on")
    notes = (*_notes_on_split(records), *ignored_notes(ignored))
    return SourceScan(root=root, records=records, refusals=tuple(refusals), notes=notes)


@dataclass(frozen=True, slots=True)
class _ClassFolder:
    """One folder of images, and what lying in it says."""

    folder: Path
    official_split: str
    state: LabelState


def _layout_root(root: Path) -> Path:
    """``root``, or the ``chest_xray`` folder in it that the published archive adds (at times twice)."""
    candidate = root
    for _ in range(3):
        if _is_own_folder(candidate / "train") or any(_is_own_folder(candidate / name) for name in CLASS_FOLDERS):
            return candidate
        candidate = candidate / "chest_xray"
        if candidate.is_symlink():
            break
    links = sorted(one.name for one in root.iterdir() if one.is_symlink() and one.is_dir())
    linked = f"; linked folders are not entered: {', '.join(links[:8])}" if links else ""
    raise DataDefect(
        f"{root}: expected the folders {_LAYOUT}, or {' and '.join(CLASS_FOLDERS)} alone (also inside chest_xray), "
        f"found {describe_folder(root)}{linked}"
    )


def _is_own_folder(path: Path) -> bool:
    """Whether ``path`` is a folder and not a link, which may lead out of the data folder."""
    return path.is_dir() and not path.is_symlink()


def _class_folders(root: Path) -> list[_ClassFolder]:
    """The class folders in the order they are read; one that is missing is a ``DataDefect``."""
    splits = {"": ""}
    if _is_own_folder(root / "train"):
        splits = {name: split for name, split in SPLIT_FOLDERS.items() if name != "val" or (root / name).exists()}
    folders = [
        _ClassFolder(root / split_folder / name, split, state)
        for split_folder, split in splits.items()
        for name, state in CLASS_FOLDERS.items()
    ]
    missing = [
        f"{one.folder.relative_to(root).as_posix()}{_why_not(one.folder, root)}"
        for one in folders
        if not _is_own_folder(one.folder) or (one.folder.parent != root and not _is_own_folder(one.folder.parent))
    ]
    if missing:
        layout = _LAYOUT if "train" in splits else " and ".join(CLASS_FOLDERS)
        raise DataDefect(f"{root}: expected {layout}; missing: {', '.join(missing)}")
    return folders


def _why_not(folder: Path, root: Path) -> str:
    is_link = folder.is_symlink() or (folder.parent != root and folder.parent.is_symlink())
    return " (linked; links are not entered)" if is_link else ""


def _strangers(
    root: Path, folders: list[_ClassFolder], side_files: tuple[str, ...], ignored: Counter[str]
) -> list[Refusal]:
    """What stands beside the class folders: an image is refused, for nothing labels it; anything else is ignored."""
    known = {root, *(root / name for name in side_files)}
    known |= {one.folder for one in folders} | {one.folder.parent for one in folders}
    refusals = []
    for parent in sorted({root, *(one.folder.parent for one in folders)}):
        for entry in sorted(parent.iterdir()):
            if entry in known:
                continue
            if is_litter(entry.name):
                ignored[litter_kind(entry.name)] += 1
            elif patient_of_name(entry.name) and not entry.is_dir():
                refusals.append(
                    Refusal(
                        image_id=entry.relative_to(root).as_posix(),
                        reason="no_label",
                        detail=f"expected images inside {' or '.join(CLASS_FOLDERS)}, found this one beside them",
                        action="move the image into the folder of its class, or remove it",
                    )
                )
            else:
                ignored[f"{as_text_name(entry.relative_to(root).as_posix())} (not in the layout)"] += 1
    return refusals


def _notes_on_split(records: Sequence[ImageRecord]) -> list[str]:
    """Patients in test and outside it, by number; ``prepare.splits`` moves them whole to test."""
    in_test = {one.patient_id for one in records if one.official_split == "test"}
    if not in_test:
        return []
    crossing = [one.patient_id for one in records if one.official_split != "test" and one.patient_id in in_test]
    if not crossing:
        return []
    return [
        f"{len(set(crossing))} patients are in test and outside it: their {len(crossing)} images from outside go to "
        "test with them"
    ]


def _record_or_refusal(root: Path, path: Path, place: _ClassFolder) -> ImageRecord | Refusal:
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
            detail="expected a name like person12_bacteria_34.jpeg, IM-0012-0001.jpeg or NORMAL2-IM-0012-0001.jpeg",
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

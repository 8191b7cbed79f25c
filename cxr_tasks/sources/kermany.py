"""Paediatric chest X-rays of Kermany et al. in their folder layout, ``train|val|test/NORMAL|PNEUMONIA``.

Source: Kermany, Zhang & Goldbaum, Mendeley Data, doi:10.17632/rscbjbr9sj; Cell 172(5) (2018).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.labels import LabelState
from cxr_tasks.contracts.specs import DatasetSpec
from cxr_tasks.sources._files import files_below, is_litter
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

    ``side_files`` may stand beside the split folders; anything else there is noted as ignored.
    """
    if spec.vocabulary != "pneumonia":
        raise ConfigurationError(
            f"source {spec.source!r} labels pneumonia only: expected vocabulary 'pneumonia', found {spec.vocabulary!r}"
        )
    root = _layout_root(root)
    ignored: Counter[str] = Counter()
    records: list[ImageRecord] = []
    refusals: list[Refusal] = []
    for split_folder, class_folder, path in _class_files(root, side_files, ignored):
        found = _record_or_refusal(root, path, split_folder, class_folder)
        (records if isinstance(found, ImageRecord) else refusals).append(found)  # type: ignore[arg-type]
    if not records and not refusals:
        raise DataDefect(f"{root}: the class folders hold no files; expected JPEG files below train/NORMAL and so on")
    notes = tuple(f"ignored {count} x {name}" for name, count in sorted(ignored.items()))
    return SourceScan(root=root, records=tuple(records), refusals=tuple(refusals), notes=notes)


def _layout_root(root: Path) -> Path:
    """``root``, or the ``chest_xray`` folder in it that the published archive adds (at times twice)."""
    candidate = root
    for _ in range(3):
        if (candidate / "train").is_dir():
            return candidate
        candidate = candidate / "chest_xray"
    found = sorted(entry.name for entry in root.iterdir() if not is_litter(entry.name))
    shown = ", ".join(found[:8]) + (f" and {len(found) - 8} more" if len(found) > 8 else "")
    raise DataDefect(f"{root}: expected the folders {_LAYOUT} (also inside chest_xray), found {shown or 'nothing'}")


def _class_files(root: Path, side_files: tuple[str, ...], ignored: Counter[str]) -> Iterator[tuple[str, str, Path]]:
    missing = [
        f"{split}/{name}"
        for split in SPLIT_FOLDERS
        for name in CLASS_FOLDERS
        if not (root / split / name).is_dir() and (split != "val" or (root / split).exists())
    ]
    if missing:
        raise DataDefect(f"{root}: expected {_LAYOUT}; missing: {', '.join(missing)}")
    levels = [(root, {*SPLIT_FOLDERS, *side_files}), *((root / split, set(CLASS_FOLDERS)) for split in SPLIT_FOLDERS)]
    for parent, known in levels:
        for entry in sorted(parent.iterdir()) if parent.is_dir() else ():
            if entry.name not in known:
                ignored[entry.name if is_litter(entry.name) else f"{entry.relative_to(root)} (not in the layout)"] += 1
    for split in SPLIT_FOLDERS:
        for name in CLASS_FOLDERS:
            if (root / split / name).is_dir():
                yield from ((split, name, path) for path in files_below(root / split / name, ignored))


def _record_or_refusal(root: Path, path: Path, split_folder: str, class_folder: str) -> ImageRecord | Refusal:
    image_id = path.relative_to(root).as_posix()
    patient = patient_of_name(path.name)
    if patient is None:
        return Refusal(
            image_id=image_id,
            reason="unknown_patient",
            detail="expected a name like person12_bacteria_34.jpeg, IM-0012-0001.jpeg or NORMAL2-IM-0012-0001.jpeg",
            action="rename the file so that it carries its patient, or remove it",
        )
    state = CLASS_FOLDERS[class_folder]
    if bool(patient.sub_label) != (state is LabelState.POSITIVE):
        return Refusal(
            image_id=image_id,
            reason="label_conflict",
            detail=f"the folder says {class_folder}, the file name says {patient.sub_label or 'NORMAL'}",
            action="look at the image and move it to the right folder",
        )
    return ImageRecord(
        image_id=image_id,
        patient_id=patient.patient_id,
        study_id=image_id,
        official_split=SPLIT_FOLDERS[split_folder],
        states={"pneumonia": state},
        sub_label=patient.sub_label,
    )


SOURCE = KermanySource()

"""A folder tree of DICOM files, with a table of labels: ``labels.csv``, or what the option ``labels`` names.

One row per file. ``path`` (below the folder) or ``sop_instance_uid`` says which; a column per finding of the
vocabulary, by its name in code or as shown, holds positive, negative, uncertain or nothing, or 1, 0, -1 or nothing.
``split``, ``patient`` and ``sub_label`` may be there; all else about patient and picture is read from the files at
ingest.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.labels import findings_of
from cxr_tasks.contracts.shapes import build
from cxr_tasks.contracts.specs import DatasetSpec
from cxr_tasks.installation.storage.paths import inside
from cxr_tasks.sources.base import OF_THE_OPERATOR, ImageRecord, Refusal, SourceScan, by_image_id
from cxr_tasks.sources.dicom.label_table import UID_COLUMN, LabelRow, read_labels
from cxr_tasks.sources.dicom.uids import find_by_uid
from cxr_tasks.sources.reading.defects import row_defect, shown
from cxr_tasks.sources.reading.files import as_text_name, describe_folder, files_below, ignored_notes, is_text_name

#: Names of what lies beside images; a file of such a name is one only where the table lists it. The images themselves
#: often have no suffix.
_SIDE_SUFFIXES = frozenset(
    {".csv", ".tsv", ".txt", ".md", ".json", ".xml", ".html", ".pdf", ".xlsx", ".sha256", ".md5"}
)
_SIDE_NAMES = frozenset({"DICOMDIR", "LICENSE", "README", "SHA256SUMS"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomOptions:
    """``dataset.options`` of a recipe with this source."""

    labels: str = "labels.csv"
    """The table of labels, a path below the data folder."""
    absent_bound: float = 0.05
    """Share of the listed files that may be absent from disk."""
    frontal_only: bool = True
    """Lateral views are left out and counted; a file tells which it is only when it is opened, so ingest does it."""

    def __post_init__(self) -> None:
        if not 0 <= self.absent_bound <= 1:
            raise ConfigurationError(f"absent_bound: expected a value from 0 to 1, found {self.absent_bound}")


ABOUT = replace(
    OF_THE_OPERATOR,
    origin="DICOM files of the operator of this installation.",
    patients="name the patients in a column 'patient' of the table of labels, where PatientID (0010,0020) of the files "
    "is not theirs, as an anonymiser leaves it",
)


class DicomSource:
    """Reads the tree and the table, and of the files at most which object each is."""

    name = "dicom"
    about = ABOUT

    def own_root(self, spec: DatasetSpec) -> Path | None:
        return None

    def scan(self, root: Path, spec: DatasetSpec) -> SourceScan:
        """One record per listed file that is on disk, sorted by ``image_id``; see ``Source.scan``.

        Listed files that are not on disk, files that no row lists, and further files of one listed object are refused
        one by one; a fault in the table ends the scan with its file, line and column.
        """
        options = build(DicomOptions, spec.options, f"dataset {spec.name!r}: options")
        table = _label_table(root, options)
        labels = read_labels(table, findings_of(spec.vocabulary))
        ignored: Counter[str] = Counter()
        listed = {row.key for row in labels.rows}
        files, refusals = _candidates(root, table, listed, ignored)
        if labels.key_column == UID_COLUMN:
            places, unreadable = find_by_uid(root, files, listed)
            refusals += unreadable
        else:
            places = _by_path(files)
        records, unmatched = _match(root, table, labels.rows, places, by_uid=labels.key_column == UID_COLUMN)
        _check_absent(root, table, unmatched, len(labels.rows), options.absent_bound)
        refusals += unmatched
        done = {record.image_id for record in records} | {refusal.image_id for refusal in refusals}
        refusals += [_without_label(image_id, table) for image_id in files if image_id not in done]
        return SourceScan(
            root=root,
            records=sorted(records, key=by_image_id),
            refusals=tuple(refusals),
            notes=(f"labels from {options.labels}", *labels.notes, *ignored_notes(ignored)),
        )


def _label_table(root: Path, options: DicomOptions) -> Path:
    table = root / options.labels
    if not inside(root, table):
        raise ConfigurationError(
            f"option labels: {options.labels!r} leads out of the data folder; give a path below it"
        )
    if not table.is_file():
        raise DataDefect(
            f"{root}: expected the table of labels {options.labels!r} (option labels names another), "
            f"found {describe_folder(root)}"
        )
    return table


def _candidates(root: Path, table: Path, listed: set[str], ignored: Counter[str]) -> tuple[list[str], list[Refusal]]:
    """Paths below ``root`` of the files that may be images, sorted; those whose name no table can hold are refused."""
    files: list[str] = []
    refusals: list[Refusal] = []
    for path in files_below(root, ignored):
        image_id = path.relative_to(root).as_posix()
        if path == table:
            continue
        if not is_text_name(image_id):
            refusals.append(
                Refusal(
                    image_id=as_text_name(image_id),
                    reason="unreadable_name",
                    detail="the file name is not valid UTF-8",
                    action="rename the file, and name it so in the table of labels",
                )
            )
        elif image_id in listed or not _is_side_file(path):
            files.append(image_id)
        else:
            ignored[f"{path.suffix.lower() or path.name} (beside the images)"] += 1
    return files, refusals


def _by_path(files: Iterable[str]) -> dict[str, list[str]]:
    """Files by their path, and by it with composed letters: macOS names files with letter and accent apart."""
    places = {image_id: [image_id] for image_id in files}
    composed: dict[str, list[str]] = {}
    for image_id in places:
        if (name := unicodedata.normalize("NFC", image_id)) not in places:
            composed.setdefault(name, []).append(image_id)
    return composed | places


def _is_side_file(path: Path) -> bool:
    return path.suffix.lower() in _SIDE_SUFFIXES or path.name.upper() in _SIDE_NAMES


def _match(
    root: Path, table: Path, rows: Sequence[LabelRow], places: dict[str, list[str]], *, by_uid: bool
) -> tuple[list[ImageRecord], list[Refusal]]:
    """Rows with their files: a record of the first file of each, a refusal for none and for every further one."""
    records: list[ImageRecord] = []
    refusals: list[Refusal] = []
    for row in rows:
        files = places.get(row.key) or places.get(unicodedata.normalize("NFC", row.key), [])
        if not files:
            refusals.append(_absent(root, table, row, by_uid=by_uid))
            continue
        records.append(
            ImageRecord(
                image_id=files[0],
                patient_id=row.patient_id,
                study_id="",
                states=row.states,
                official_split=row.split,
                sub_label=row.sub_label,
            )
        )
        refusals += [
            Refusal(
                image_id=image_id,
                reason="found_twice",
                detail=f"the same object (SOP instance) as {files[0]}, which is used",
                action="keep one of the files",
            )
            for image_id in files[1:]
        ]
    return records, refusals


def _absent(root: Path, table: Path, row: LabelRow, *, by_uid: bool) -> Refusal:
    if not by_uid and not inside(root, root / row.key):
        raise row_defect(table, row.line, f"path: {shown(row.key)} leads out of the data folder; copy the file into it")
    place = f"{table.name}, line {row.line}"
    return Refusal(
        # A UID leads to its patient, a line of the table only for those who may read it.
        image_id=place if by_uid else row.key,
        reason="absent",
        detail=f"listed in {place}, but no such file is on disk",
        action="bring the file, or take the row out of the table",
    )


def _check_absent(root: Path, table: Path, refusals: Iterable[Refusal], n_listed: int, bound: float) -> None:
    absent = [refusal for refusal in refusals if refusal.reason == "absent"]
    if len(absent) > bound * n_listed or len(absent) == n_listed:
        first = ", ".join(shown(row.image_id) for row in absent[:5])
        is_hidden = any("/." in f"/{row.image_id}" for row in absent)
        hidden = ", not into hidden folders (.name)" if is_hidden else ""
        raise DataDefect(
            f"{table}: {len(absent)} of {n_listed} listed files are absent ({len(absent) / n_listed:.1%}, at most "
            f"{bound:.1%} expected), the first: {first}; looked below {root}{hidden}. Bring the files, or raise "
            "dataset.options.absent_bound to work with a part of them"
        )


def _without_label(image_id: str, table: Path) -> Refusal:
    return Refusal(
        image_id=image_id,
        reason="no_label",
        detail=f"{table.name} has no row for this file",
        action="add a row for it, or take the file out of the folder",
    )


SOURCE = DicomSource()

"""NIH ChestX-ray14 as it is published: tables and lists beside ``images``, or ``images_001`` to ``images_012``.

Source: Wang et al., ChestX-ray8, CVPR 2017; NIH Clinical Center.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.labels import NIH_SPELLINGS, VOCABULARIES, LabelState, findings_of
from cxr_tasks.contracts.shapes import build
from cxr_tasks.contracts.specs import DatasetSpec
from cxr_tasks.sources._files import ignored_notes
from cxr_tasks.sources._nih_files import TABLES, ImageFiles, find_images, layout_root, of_this_folder
from cxr_tasks.sources._nih_tables import (
    BOX_FRAME,
    TEST_LIST,
    TRAIN_VAL_LIST,
    Entry,
    read_boxes,
    read_entries,
    read_official_splits,
)
from cxr_tasks.sources._records import PackedRecords
from cxr_tasks.sources._tables import row_defect, shown
from cxr_tasks.sources.base import Box, ImageRecord, Refusal, SourceScan

BOX_TABLE = "BBox_List_2017.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class NihOptions:
    """``dataset.options`` of a recipe with this source."""

    official_split: bool = True
    """Keep the published test list as the test split; without it, patients are dealt by ``split.test``."""
    absent_bound: float = 0.05
    """Share of the listed images that may be absent from disk."""

    def __post_init__(self) -> None:
        if not 0 <= self.absent_bound <= 1:
            raise ConfigurationError(f"absent_bound: expected a value from 0 to 1, found {self.absent_bound}")


class NihSource:
    """Reads the published layout, whole or in part."""

    name = "nih"

    def own_root(self, spec: DatasetSpec) -> Path | None:
        return None

    def scan(self, root: Path, spec: DatasetSpec) -> SourceScan:
        """One record per listed image that is on disk, sorted by ``image_id``; see ``Source.scan``.

        A finding that a row does not name is negative, for the table names all. Listed images that are not on disk,
        or are there twice, are refused one by one; a fault in a table ends the scan with its file and line.
        """
        options = build(NihOptions, spec.options, f"dataset {spec.name!r}: options")
        findings = _checked_findings(spec)
        root = layout_root(root)
        table = next(root / name for name in TABLES if (root / name).exists())
        notes = _Notes([f"labels from {table.name}"])
        if (root / TABLES[1]).exists() and table.name != TABLES[1]:
            notes.lines.append(f"{TABLES[1]} is there too and is not read")
        oddities: Counter[str] = Counter()
        entries = list(read_entries(of_this_folder(table, root), oddities))
        if not entries:
            raise DataDefect(f"{table}: expected a row per image, found a header and no rows")
        splits = _official_splits(root, entries, notes) if options.official_split else {}
        boxes = _boxes_by_name(root, entries, findings, oddities, notes)
        files = find_images(root)
        records, refusals = _match(table, entries, files, findings, splits, boxes)
        _check_absent(table, refusals, len(entries), files, options.absent_bound)
        _note_test_split(splits, records, notes)
        _note_files(records, refusals, files, notes)
        for what, count in sorted(oddities.items()):
            notes.count(count, what)
        return SourceScan(
            root=root,
            records=records.sorted(),
            refusals=tuple(refusals),
            notes=(*notes.lines, *ignored_notes(files.ignored)),
        )


@dataclass(slots=True)
class _Notes:
    lines: list[str]

    def count(self, count: int, what: str) -> None:
        if count:
            self.lines.append(f"{count} x {what}")


def _checked_findings(spec: DatasetSpec) -> tuple[str, ...]:
    findings = findings_of(spec.vocabulary)
    foreign = [finding for finding in findings if finding not in NIH_SPELLINGS.values()]
    if foreign:
        suitable = [name for name, words in VOCABULARIES.items() if set(words) <= set(NIH_SPELLINGS.values())]
        raise ConfigurationError(
            f"dataset {spec.name!r}: source 'nih' does not label {', '.join(foreign)} of vocabulary "
            f"{spec.vocabulary!r}; vocabularies it can fill: {', '.join(suitable)}"
        )
    return findings


def _official_splits(root: Path, entries: Sequence[Entry], notes: _Notes) -> Mapping[str, str]:
    """``train`` or ``test`` by image name. An image in neither list has no official split: it is not in test."""
    for name in (TRAIN_VAL_LIST, TEST_LIST):
        of_this_folder(root / name, root)
    splits = read_official_splits(root)
    if splits is None:
        notes.lines.append(f"no {TRAIN_VAL_LIST} and {TEST_LIST}: no official split")
        return {}
    listed = {entry.name for entry in entries}
    notes.count(sum(name not in splits for name in listed), "image in neither split list: no official split")
    notes.count(sum(name not in listed for name in splits), "name in a split list that the label table does not have")
    return splits


def _boxes_by_name(
    root: Path, entries: Sequence[Entry], findings: Sequence[str], oddities: Counter[str], notes: _Notes
) -> dict[str, tuple[Box, ...]]:
    """Boxes of the vocabulary's findings by image name; all others are left out and counted."""
    path = of_this_folder(root / BOX_TABLE, root)
    if not path.exists():
        notes.lines.append(f"no {BOX_TABLE}: no boxes")
        return {}
    positive = {entry.name: entry.positive for entry in entries}
    kept: dict[str, tuple[Box, ...]] = {}
    for name, boxes in read_boxes(path, oddities).items():
        if name not in positive:
            oddities["box of an image that the label table does not have, left out"] += len(boxes)
            continue
        oddities["box of a finding that the label of its image does not name, kept"] += sum(
            box.finding not in positive[name] for box in boxes
        )
        wanted = tuple(box for box in boxes if box.finding in findings)
        oddities["box of a finding outside the vocabulary, left out"] += len(boxes) - len(wanted)
        if wanted:
            kept[name] = wanted
    return kept


def _match(
    table: Path,
    entries: Sequence[Entry],
    files: ImageFiles,
    findings: Sequence[str],
    splits: Mapping[str, str],
    boxes: Mapping[str, tuple[Box, ...]],
) -> tuple[PackedRecords, list[Refusal]]:
    """Rows with their files: a record for each row with one file, a refusal for each with none or several."""
    records = PackedRecords()
    refusals: list[Refusal] = []
    line_of: dict[str, int] = {}
    # Few combinations of labels for many rows: rows share their dict.
    states: dict[frozenset[str], dict[str, LabelState]] = {}
    for entry in entries:
        places = files.places(entry.name)
        if len(places) != 1:
            refusals.append(_refusal(table, entry, places))
            continue
        image_id = places[0]
        if line_of.setdefault(image_id, entry.line) != entry.line:
            text = f"{shown(entry.name)} is the file {image_id} of line {line_of[image_id]} already; keep one row"
            raise row_defect(table, entry.line, text)
        if entry.positive not in states:
            states[entry.positive] = {
                one: LabelState.POSITIVE if one in entry.positive else LabelState.NEGATIVE for one in findings
            }
        records.append(
            ImageRecord(
                image_id=image_id,
                patient_id=entry.patient_id,
                study_id=entry.study_id,
                states=states[entry.positive],
                official_split=splits.get(entry.name, ""),
                view=entry.view,
                sex=entry.sex,
                age_years=entry.age_years,
                boxes=boxes.get(entry.name, ()),
                box_frame=BOX_FRAME if entry.name in boxes else None,
            )
        )
    return records, refusals


def _refusal(table: Path, entry: Entry, places: Sequence[str]) -> Refusal:
    if not places:
        return Refusal(
            image_id=entry.name,
            reason="absent",
            detail=f"listed in {table.name}, line {entry.line}, but on disk in none of the image folders",
            action="fetch and unpack the archive that holds it, or take the row out of the table",
        )
    return Refusal(
        image_id=places[0],
        reason="found_twice",
        detail=f"one row ({table.name}, line {entry.line}), {len(places)} files: {', '.join(places[:4])}",
        action="keep one of the files",
    )


def _check_absent(table: Path, refusals: Sequence[Refusal], n_listed: int, files: ImageFiles, bound: float) -> None:
    absent = [one for one in refusals if one.reason == "absent"]
    if len(absent) > bound * n_listed or len(absent) == n_listed:
        first = ", ".join(shown(one.image_id) for one in absent[:5])
        raise DataDefect(
            f"{table}: {len(absent)} of {n_listed} listed images are absent ({len(absent) / n_listed:.1%}, at most "
            f"{bound:.1%} expected), the first: {first}; {files.where}. Bring the images, or raise "
            "dataset.options.absent_bound to work with a part of them"
        )


def _note_test_split(splits: Mapping[str, str], records: Sequence[ImageRecord], notes: _Notes) -> None:
    """Whether the official test split is there at all, and who is in it and outside it, by number."""
    in_test = {record.patient_id for record in records if record.official_split == "test"}
    if splits and not in_test:
        notes.lines.append(f"no image on disk is in {TEST_LIST}: no official test split")
    crossing = [one for one in records if one.official_split != "test" and one.patient_id in in_test]
    if crossing:
        notes.lines.append(
            f"{len({one.patient_id for one in crossing})} patients are in test and outside it: their "
            f"{len(crossing)} images from outside go to test with them"
        )


def _note_files(records: Sequence[ImageRecord], refusals: Sequence[Refusal], files: ImageFiles, notes: _Notes) -> None:
    notes.count(sum(one.reason == "absent" for one in refusals), "listed image absent from disk")
    notes.count(sum(one.reason == "found_twice" for one in refusals), "listed image found more than once, refused")
    notes.count(files.unlisted({one.image_id for one in records}), "image file that no row uses, not read")


SOURCE = NihSource()

"""NIH ChestX-ray14 as it is published: tables and lists beside ``images``, or ``images_001`` to ``images_012``.

Source: Wang et al., ChestX-ray8, CVPR 2017; NIH Clinical Center.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.labels import NIH_SPELLINGS, VOCABULARIES, LabelState, findings_of
from cxr_tasks.contracts.shapes import build
from cxr_tasks.contracts.specs import DatasetSpec
from cxr_tasks.sources.base import About, Box, ImageRecord, Refusal, SourceScan, by_image_id
from cxr_tasks.sources.nih.files import TABLES, ImageFiles, find_images, folders_holding, layout_root, of_this_folder
from cxr_tasks.sources.nih.tables import (
    BOX_FRAME,
    TEST_LIST,
    TRAIN_VAL_LIST,
    Entry,
    read_boxes,
    read_entries,
    read_official_splits,
)
from cxr_tasks.sources.reading.files import ignored_notes
from cxr_tasks.sources.reading.tables import row_defect, shown

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


ABOUT = About(
    origin=("NIH Clinical Center, ChestX-ray14. X. Wang et al.: ChestX-ray8, CVPR 2017."),
    terms=("Free to use; the NIH Clinical Center asks to be named as the provider and the paper to be cited."),
    limits=(
        "The images are of one hospital (NIH Clinical Center), and labels were read out of reports by a program: some "
        "are wrong, and what a report does not mention counts as absent.",
    ),
    patients="see that the label table's column 'Patient ID' tells patients apart",
    n_train=86_524,
)


class NihSource:
    """Reads the published layout, whole or in part."""

    name = "nih"
    about = ABOUT

    def own_root(self, spec: DatasetSpec) -> Path | None:
        return None

    def scan(self, root: Path, spec: DatasetSpec) -> SourceScan:
        """One record per listed image that is on disk, sorted by ``image_id``; see ``Source.scan``.

        A finding that a row does not name is negative, for the table names all. Listed images that are not on disk,
        or are there twice, are refused one by one; a fault in a table ends the scan with its file and line.
        """
        options = build(NihOptions, spec.options, f"dataset {spec.name!r}: options")
        findings = _checked_findings(spec)
        given, root = root, layout_root(root)
        reading, notes = _read(root, findings, options, find_images(root))
        if _too_many(reading, "absent", options) and reading.files.other_folders:
            others, other_notes = _read(root, findings, options, find_images(root, everywhere=True))
            if others.n_of("absent") < reading.n_of("absent"):
                _check_found_once(others, options)
                reading, notes = others, other_notes
                notes.lines.append(f"images are looked for in all folders: {', '.join(others.files.looked_in[1:9])}")
        _check_absent(reading, options, given)
        files, records, refusals = reading.files, reading.records, reading.refusals
        _note_test_split(reading.has_splits, records, notes)
        _note_files(records, refusals, files, notes)
        return SourceScan(
            root=root,
            records=sorted(records, key=by_image_id),
            refusals=tuple(refusals),
            notes=(*notes.lines, *ignored_notes(files.ignored)),
        )


def _read(root: Path, findings: Sequence[str], options: NihOptions, files: ImageFiles) -> tuple[_Reading, _Notes]:
    """The tables, each row with its file among ``files``, and what is odd about them."""
    table = next(root / name for name in TABLES if (root / name).exists())
    notes = _Notes([f"labels from {table.name}"])
    if (root / TABLES[1]).exists() and table.name != TABLES[1]:
        notes.lines.append(f"{TABLES[1]} is there too and is not read")
    oddities: Counter[str] = Counter()
    splits = _official_splits(root, notes) if options.official_split else {}
    has_splits = len(splits) > 0
    reading = _Reading(table, findings, splits, _boxes_by_name(root, oddities, notes), files, has_splits)
    for entry in read_entries(of_this_folder(table, root), oddities):
        reading.add(entry, oddities)
    if not reading.n_listed:
        raise DataDefect(f"{table}: expected a row per image, found a header and no rows")
    reading.note_unmatched(oddities, notes)
    for what, count in sorted(oddities.items()):
        notes.count(count, what)
    return reading, notes


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


def _official_splits(root: Path, notes: _Notes) -> dict[str, str]:
    """``train`` or ``test`` by image name. An image in neither list has no official split: it is not in test."""
    for name in (TRAIN_VAL_LIST, TEST_LIST):
        of_this_folder(root / name, root)
    splits = read_official_splits(root)
    if splits is None:
        notes.lines.append(f"no {TRAIN_VAL_LIST} and {TEST_LIST}: no official split")
        return {}
    return splits


def _boxes_by_name(root: Path, oddities: Counter[str], notes: _Notes) -> dict[str, list[Box]]:
    path = of_this_folder(root / BOX_TABLE, root)
    if not path.exists():
        notes.lines.append(f"no {BOX_TABLE}: no boxes")
        return {}
    return read_boxes(path, oddities)


@dataclass(slots=True)
class _Reading:
    """Rows of the label table with their files, one after the other."""

    table: Path
    findings: Sequence[str]
    splits: dict[str, str]
    """By image name; a row takes its own out."""
    boxes: dict[str, list[Box]]
    """As ``splits``."""
    files: ImageFiles
    has_splits: bool
    records: list[ImageRecord] = field(default_factory=list)
    """One for each row with one file."""
    refusals: list[Refusal] = field(default_factory=list)
    """One for each row with none, or several."""
    n_listed: int = 0
    _n_unsplit: int = 0
    _line_of: dict[str, int] = field(default_factory=dict)

    def add(self, entry: Entry, oddities: Counter[str]) -> None:
        """Match one row with its file."""
        self.n_listed += 1
        official_split = self.splits.pop(entry.name, "")
        self._n_unsplit += not official_split
        boxes = self._wanted_boxes(entry, oddities)
        places = self.files.places(entry.name)
        if len(places) != 1:
            self.refusals.append(_refusal(self.table, entry, places))
            return
        image_id = places[0]
        if (line := self._line_of.setdefault(image_id, entry.line)) != entry.line:
            text = f"{shown(entry.name)} is the file {image_id} of line {line} already; keep one row"
            raise row_defect(self.table, entry.line, text)
        self.records.append(
            ImageRecord(
                image_id=image_id,
                patient_id=entry.patient_id,
                study_id=entry.study_id,
                states=_states(tuple(self.findings), entry.positive),
                official_split=official_split,
                view=entry.view,
                sex=entry.sex,
                age_years=entry.age_years,
                boxes=boxes,
                box_frame=BOX_FRAME if boxes else None,
            )
        )

    def n_of(self, reason: str) -> int:
        """How many rows are refused for this reason."""
        return sum(refusal.reason == reason for refusal in self.refusals)

    def note_unmatched(self, oddities: Counter[str], notes: _Notes) -> None:
        """What lists and boxes say of images that the label table does not have, and the other way round."""
        if self.has_splits:
            notes.count(self._n_unsplit, "image in neither split list: no official split")
            notes.count(len(self.splits), "name in a split list that the label table does not have")
        n_boxes = sum(map(len, self.boxes.values()))
        oddities["box of an image that the label table does not have, left out"] += n_boxes

    def _wanted_boxes(self, entry: Entry, oddities: Counter[str]) -> tuple[Box, ...]:
        """The boxes of the vocabulary's findings; all others are left out and counted."""
        boxes = self.boxes.pop(entry.name, ())
        if not boxes:
            return ()
        oddities["box of a finding that the label of its image does not name, kept"] += sum(
            box.finding not in entry.positive for box in boxes
        )
        wanted = tuple(box for box in boxes if box.finding in self.findings)
        oddities["box of a finding outside the vocabulary, left out"] += len(boxes) - len(wanted)
        return wanted


@lru_cache(maxsize=4096)
def _states(findings: tuple[str, ...], positive: frozenset[str]) -> dict[str, LabelState]:
    """A state for each finding; rows with the same labels share it."""
    return {finding: LabelState.POSITIVE if finding in positive else LabelState.NEGATIVE for finding in findings}


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


def _too_many(reading: _Reading, reason: str, options: NihOptions) -> bool:
    count = reading.n_of(reason)
    return count > options.absent_bound * reading.n_listed or count == reading.n_listed


def _check_found_once(reading: _Reading, options: NihOptions) -> None:
    """``DataDefect`` where folders outside the published layout hold the images several times: which is meant?"""
    if not _too_many(reading, "found_twice", options):
        return
    names = {Path(refusal.image_id).name for refusal in reading.refusals if refusal.reason == "found_twice"}
    held = folders_holding(reading.files.root, reading.files.looked_in[1:], names)
    raise DataDefect(
        f"{reading.table}: {reading.n_of('found_twice')} of {reading.n_listed} listed images lie in several places "
        f"below {reading.files.root}: {', '.join(held[:12])}. Keep the images in one of them, or call its folder images"
    )


def _check_absent(reading: _Reading, options: NihOptions, given: Path) -> None:
    """``DataDefect`` where too many images are absent; it names folders that hold such and were not looked into."""
    if not _too_many(reading, "absent", options):
        return
    files, n_listed = reading.files, reading.n_listed
    absent = [refusal.image_id for refusal in reading.refusals if refusal.reason == "absent"]
    beside = [path.name for path in sorted(given.iterdir()) if path.is_dir() and path != files.root]
    unseen = folders_holding(files.root, files.other_folders, absent)
    if given != files.root:
        unseen += folders_holding(given, [one for one in beside if not (given / one).is_symlink()], absent)
    where = f"; not looked into, and hold files of these names: {', '.join(unseen[:12])}" if unseen else ""
    remedy = (
        "If these are the images, move their folder beside the label table and call it images"
        if unseen
        else "Bring the images, or raise dataset.options.absent_bound to work with a part of them"
    )
    raise DataDefect(
        f"{reading.table}: {len(absent)} of {n_listed} listed images are absent ({len(absent) / n_listed:.1%}, at most "
        f"{options.absent_bound:.1%} expected), the first: {', '.join(map(shown, absent[:5]))}; {files.where}{where}. "
        f"{remedy}"
    )


def _note_test_split(has_splits: bool, records: Sequence[ImageRecord], notes: _Notes) -> None:
    """Whether the official test split is there at all, and who is in it and outside it, by number."""
    in_test = {record.patient_id for record in records if record.official_split == "test"}
    if has_splits and not in_test:
        notes.lines.append(f"no image on disk is in {TEST_LIST}: no official test split")
    crossing = [record for record in records if record.official_split != "test" and record.patient_id in in_test]
    if crossing:
        notes.lines.append(
            f"{len({one.patient_id for one in crossing})} patients are in test and outside it: their "
            f"{len(crossing)} images from outside go to test with them"
        )


def _note_files(records: Sequence[ImageRecord], refusals: Sequence[Refusal], files: ImageFiles, notes: _Notes) -> None:
    notes.count(sum(refusal.reason == "absent" for refusal in refusals), "listed image absent from disk")
    notes.count(
        sum(refusal.reason == "found_twice" for refusal in refusals), "listed image found more than once, refused"
    )
    notes.count(files.unlisted(record.image_id for record in records), "image file that no row uses, not read")


SOURCE = NihSource()

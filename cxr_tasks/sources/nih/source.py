"""NIH ChestX-ray14 as it is published: tables and lists beside ``images``, or ``images_001`` to ``images_012``.

Source: Wang et al., ChestX-ray8, CVPR 2017; NIH Clinical Center.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.labels import NIH_SPELLINGS, VOCABULARIES, findings_of
from cxr_tasks.contracts.shapes import build
from cxr_tasks.contracts.specs import DatasetSpec
from cxr_tasks.sources.base import About, Box, ImageRecord, Refusal, SourceScan, by_image_id
from cxr_tasks.sources.nih.files import TABLES, ImageFiles, find_images, layout_root, of_this_folder
from cxr_tasks.sources.nih.presence import check_absent, check_found_once, too_many
from cxr_tasks.sources.nih.reading import Notes, Reading
from cxr_tasks.sources.nih.tables import (
    TEST_LIST,
    TRAIN_VAL_LIST,
    read_boxes,
    read_entries,
    read_official_splits,
)
from cxr_tasks.sources.reading.files import ignored_notes

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
        if too_many(reading, "absent", options.absent_bound) and reading.files.other_folders:
            others, other_notes = _read(root, findings, options, find_images(root, everywhere=True))
            if others.n_of("absent") < reading.n_of("absent"):
                check_found_once(others, options.absent_bound)
                reading, notes = others, other_notes
                notes.lines.append(f"images are looked for in all folders: {', '.join(others.files.looked_in[1:9])}")
        check_absent(reading, options.absent_bound, given)
        files, records, refusals = reading.files, reading.records, reading.refusals
        _note_test_split(reading.has_splits, records, notes)
        _note_files(records, refusals, files, notes)
        return SourceScan(
            root=root,
            records=sorted(records, key=by_image_id),
            refusals=tuple(refusals),
            notes=(*notes.lines, *ignored_notes(files.ignored)),
        )


def _read(root: Path, findings: Sequence[str], options: NihOptions, files: ImageFiles) -> tuple[Reading, Notes]:
    """The tables, each row with its file among ``files``, and what is odd about them."""
    table = next(root / name for name in TABLES if (root / name).exists())
    notes = Notes([f"labels from {table.name}"])
    if (root / TABLES[1]).exists() and table.name != TABLES[1]:
        notes.lines.append(f"{TABLES[1]} is there too and is not read")
    oddities: Counter[str] = Counter()
    splits = _official_splits(root, notes) if options.official_split else {}
    has_splits = len(splits) > 0
    reading = Reading(table, findings, splits, _boxes_by_name(root, oddities, notes), files, has_splits)
    for entry in read_entries(of_this_folder(table, root), oddities):
        reading.add(entry, oddities)
    if not reading.n_listed:
        raise DataDefect(f"{table}: expected a row per image, found a header and no rows")
    reading.note_unmatched(oddities, notes)
    for what, count in sorted(oddities.items()):
        notes.count(count, what)
    return reading, notes


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


def _official_splits(root: Path, notes: Notes) -> dict[str, str]:
    """``train`` or ``test`` by image name. An image in neither list has no official split: it is not in test."""
    for name in (TRAIN_VAL_LIST, TEST_LIST):
        of_this_folder(root / name, root)
    splits = read_official_splits(root)
    if splits is None:
        notes.lines.append(f"no {TRAIN_VAL_LIST} and {TEST_LIST}: no official split")
        return {}
    return splits


def _boxes_by_name(root: Path, oddities: Counter[str], notes: Notes) -> dict[str, list[Box]]:
    path = of_this_folder(root / BOX_TABLE, root)
    if not path.exists():
        notes.lines.append(f"no {BOX_TABLE}: no boxes")
        return {}
    return read_boxes(path, oddities)


def _note_test_split(has_splits: bool, records: Sequence[ImageRecord], notes: Notes) -> None:
    """Whether the official test split is there at all, and who is in it and outside it, by number."""
    in_test = {record.patient_id for record in records if record.official_split == "test"}
    if has_splits and not in_test:
        notes.lines.append(f"no image on disk is in {TEST_LIST}: no official test split")
    crossing = [record for record in records if record.official_split != "test" and record.patient_id in in_test]
    if crossing:
        notes.lines.append(
            f"{len({record.patient_id for record in crossing})} patients are in test and outside it: their "
            f"{len(crossing)} images from outside go to test with them"
        )


def _note_files(records: Sequence[ImageRecord], refusals: Sequence[Refusal], files: ImageFiles, notes: Notes) -> None:
    notes.count(sum(refusal.reason == "absent" for refusal in refusals), "listed image absent from disk")
    notes.count(
        sum(refusal.reason == "found_twice" for refusal in refusals), "listed image found more than once, refused"
    )
    notes.count(files.unlisted(record.image_id for record in records), "image file that no row uses, not read")


SOURCE = NihSource()

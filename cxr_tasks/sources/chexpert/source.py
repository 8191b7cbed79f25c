"""CheXpert: 224,316 chest X-rays of adults with 14 labels drawn from reports, as unpacked or as prepared by TFDS.

Source: Irvin et al., AAAI 2019, arXiv:1901.07031. The collection is not ours to pass on; the folder is brought.

What is taken, and what it means here:

- ``train.csv`` is official split ``train``. ``valid.csv`` (234 images, 202 of them frontal, labelled by radiologists)
  is the official ``test``, because the platform cuts its own validation from ``train``; the option ``official_valid``
  says otherwise.
- 1, 0, -1 and blank are positive, negative, uncertain and unmentioned. A blank is no negative: what training makes of
  it is for training to say. ``No Finding`` is a rule over the report (no pathology positive or uncertain, devices
  aside) and in ``train.csv`` 1 or blank, never 0; both are kept as they stand.
- Views: frontal images are ``ap`` or ``pa``; 17 frontal rows with the projection LL or RL contradict themselves and
  are ``unknown``; lateral ones are ``lateral`` and left out unless ``frontal_only`` is false.
- Age 0 (three rows) is unknown: the patients are adults. 90 stands for 90 and older.
"""

from __future__ import annotations

from pathlib import Path

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.labels import CHEXPERT_SPELLINGS, VOCABULARIES, findings_of
from cxr_tasks.contracts.shapes import build
from cxr_tasks.contracts.specs import DatasetSpec
from cxr_tasks.sources.base import About, SourceScan, by_image_id
from cxr_tasks.sources.chexpert.folders import (
    TRAIN_TABLE,
    VALID_TABLE,
    Folders,
    find_folders,
    no_folders,
)
from cxr_tasks.sources.chexpert.from_tfds import find_prepared, unpacked
from cxr_tasks.sources.chexpert.rows import RowReader
from cxr_tasks.sources.chexpert.scan import ChexpertOptions, Scan

ABOUT = About(
    origin=("Stanford ML Group, CheXpert. J. Irvin et al.: CheXpert, AAAI 2019."),
    terms=(
        "Stanford University Dataset Research Use Agreement: personal, non-commercial research; not to be passed on. "
        "Whether a model trained on it may be used otherwise is for that agreement to say."
    ),
    limits=(
        "The images are of one hospital (Stanford), and training labels were read out of reports by a program, with "
        "uncertain ones treated as the recipe says.",
    ),
    patients="see that the folders patientNNNNN tell patients apart",
    n_train=191_027,
)


class ChexpertSource:
    """Reads the tables and the names of the files; opens no image."""

    name = "chexpert"
    about = ABOUT

    def own_root(self, spec: DatasetSpec) -> Path | None:
        return None

    def scan(self, root: Path, spec: DatasetSpec) -> SourceScan:
        """One record per listed image that is on disk, sorted by ``image_id``; see ``Source.scan``.

        A dataset prepared by TFDS is first unpacked to ``home()/chexpert_tfds``, once, and ``SourceScan.root`` lies
        there. A listed image that is not there is refused as ``absent``.

        Raises:
            DataDefect: No such layout; a row that is not understood (table and line are named); an image listed
                twice; more images absent than ``absent_bound``.
            ConfigurationError: The options or the vocabulary do not suit CheXpert.
        """
        options = build(ChexpertOptions, spec.options, f"dataset {spec.name!r}: options")
        findings = _checked_findings(spec.vocabulary)
        folders, notes = _folders(root)
        scan = Scan(folders, options, RowReader(findings))
        scan.read_table("train", TRAIN_TABLE, "train")
        if options.official_valid != "ignore":
            scan.read_table("valid", VALID_TABLE, options.official_valid)
        scan.check_absent()
        return SourceScan(
            root=folders.base,
            records=sorted(scan.records, key=by_image_id),
            refusals=tuple(scan.refusals),
            notes=(*notes, *scan.notes()),
        )


def _checked_findings(vocabulary: str) -> tuple[str, ...]:
    findings = findings_of(vocabulary)
    known = set(CHEXPERT_SPELLINGS.values())
    unknown = [finding for finding in findings if finding not in known]
    if unknown:
        fitting = ", ".join(name for name, members in VOCABULARIES.items() if known.issuperset(members))
        raise ConfigurationError(
            f"vocabulary {vocabulary!r}: CheXpert does not label {', '.join(unknown)}; "
            f"vocabularies that suit: {fitting}"
        )
    return findings


def _folders(root: Path) -> tuple[Folders, tuple[str, ...]]:
    """The unpacked collection, and notes; the tables themselves are preferred, they hold sex, age and AP or PA."""
    folders = find_folders(root)
    if folders is not None:
        return folders, ()
    prepared = find_prepared(root)
    folders = find_folders(unpacked(prepared)) if prepared else None
    if folders is None:
        raise no_folders(root)
    return folders, (f"read from the TFDS dataset {prepared}: it holds no sex, no age and no AP or PA",)


SOURCE = ChexpertSource()

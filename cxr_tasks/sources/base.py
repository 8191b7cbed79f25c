"""What a source of X-rays is, and how the one a recipe names is found.

A new source is one module in this package that defines ``SOURCE``, and one test: ``<name>.py``, or ``<name>/source.py``
where it needs more than one file. This module and folders without a ``source.py`` are helpers.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect, nearest
from cxr_tasks.contracts.labels import LabelState
from cxr_tasks.installation.storage.fetched_folders import fetched_folder, is_in_bucket

if TYPE_CHECKING:
    # Worker processes of an ingest import this module.
    from cxr_tasks.contracts.specs import DatasetSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Where a finding lies, in pixels of the original image; ``x`` and ``y`` are the upper left corner."""

    finding: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """What a source says of one image before the image is opened; fields as in ``contracts.records``."""

    image_id: str
    patient_id: str
    """Empty where only the file tells, as in DICOM; ingest then takes patient, study, view, sex and age from it."""
    study_id: str
    states: Mapping[str, LabelState]
    """One state per finding of the vocabulary."""
    official_split: str = ""
    view: str = "unknown"
    sex: str = "unknown"
    age_years: float = float("nan")
    sub_label: str = ""
    boxes: tuple[Box, ...] = ()
    box_frame: tuple[int, int] | None = None
    """Width and height of the picture that ``boxes`` refer to, where not the file's own: they are scaled along."""


#: What records are sorted by.
by_image_id = attrgetter("image_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One file that does not get into the manifest; a row of ``quarantine.csv``."""

    image_id: str
    reason: str
    detail: str
    action: str


def lateral_refusal(image_id: str) -> Refusal:
    """Of a picture from the side, where only frontal ones are asked for."""
    return Refusal(
        image_id=image_id,
        reason="lateral_view",
        detail="expected a frontal view, found one from the side",
        action="nothing, or set dataset.options.frontal_only: false where the source has that option",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceScan:
    """What lies in a data folder: images with their labels, files refused by name, and notes for the log."""

    root: Path
    """Folder that ``image_id`` paths start from; may lie below the folder given (``chest_xray/``)."""
    records: Sequence[ImageRecord]
    refusals: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What report and card say of a source: sentences, as its publisher or operator would state them."""

    origin: str
    """Where the images come from, and what to cite."""
    terms: str
    """What they, and models trained on them, may be used for."""
    limits: tuple[str, ...]
    """What a reader must know before any number; the first says whom the images are of."""
    patients: str = "see that the source tells patients apart"
    """What to see to where one patient seems to have most of the images."""
    n_train: int = 0
    """Training images of the published set by its official split, before validation is cut; 0 where there is none."""
    splits_hold: bool = False
    """Whether all splits of its images hold as they are; of other sources the test split alone does."""
    is_drawn: bool = False
    """Whether the source makes its images itself, so that nobody has to bring a folder."""


#: Of images that nobody published: those of a source that is not known here any more too.
OF_THE_OPERATOR = About(
    origin="Images of the operator of this installation.",
    terms="Of the operator: the permission under which these images were collected also bounds the use of the model.",
    limits=("The images are the operator's own; no other was measured.",),
)


class Source(Protocol):
    """Reads one layout of files and labels; never writes into the data folder."""

    name: str
    about: About

    def scan(self, root: Path, spec: DatasetSpec) -> SourceScan:
        """All images below ``root``, none of them opened.

        Raises:
            DataDefect: The folder does not have this source's layout; the message says what was found instead.
            ConfigurationError: ``spec.options`` or ``spec.vocabulary`` do not suit this source.
        """
        ...

    def own_root(self, spec: DatasetSpec) -> Path | None:
        """A folder the source makes for itself where none is given; None where the images must be brought."""
        ...


def source_names() -> list[str]:
    """Names of the sources in this package, sorted; imports none of them."""
    return sorted(
        module.name
        for module in pkgutil.iter_modules(_package_path())
        if (_has_folder(module.name) if module.ispkg else module.name != "base")
    )


def get_source(name: str) -> Source:
    """The source of that name; an unknown one is a ``ConfigurationError`` that lists the known ones."""
    known = source_names()
    if name not in known:
        raise ConfigurationError(f"source {name!r} is not known{nearest(name, known)}; known: {', '.join(known)}")
    return importlib.import_module(source_module(name)).SOURCE


def source_module(name: str) -> str:
    """Full name of the module of a known source: ``<name>.py`` here, or ``<name>/source.py`` where it has a folder."""
    return f"cxr_tasks.sources.{name}.source" if _has_folder(name) else f"cxr_tasks.sources.{name}"


def _package_path() -> list[str]:
    return list(importlib.import_module("cxr_tasks.sources").__path__)


def _has_folder(name: str) -> bool:
    return any((Path(folder) / name / "source.py").is_file() for folder in _package_path())


def about_source(name: str) -> About:
    """What is said of the images of a source; of one that is not here, that they are the operator's."""
    if name in source_names():
        return get_source(name).about
    return replace(OF_THE_OPERATOR, origin=f"Source {name}, of the operator of this installation.")


def resolve_root(spec: DatasetSpec, data_folder: str | None) -> Path:
    """The data folder of a run, as an absolute path: the one given, else ``$<root_env>``, else the source's own.

    One in an S3 store (``s3://bucket/folder``) is brought here first.

    Raises:
        ConfigurationError: No folder is given and the source has none of its own; what to set is named.
        DataDefect: The folder does not exist, is not a folder, or cannot be listed.
    """
    if data_folder:
        return _checked_folder(data_folder, "the data folder given")
    from_environment = os.environ.get(spec.root_env or "")
    if from_environment:
        return _checked_folder(from_environment, f"${spec.root_env}")
    own = get_source(spec.source).own_root(spec)
    if own is not None:
        return own
    also = f", or set {spec.root_env}" if spec.root_env else ""
    raise ConfigurationError(
        f"dataset {spec.name!r}: no data folder is given; source {spec.source!r} reads files you bring. "
        f"Give the folder when the run is started (--data DIR){also}"
    )


def _checked_folder(text: str, origin: str) -> Path:
    if is_in_bucket(text):
        return fetched_folder(text)
    folder = Path(text).expanduser()
    if not folder.is_absolute():
        folder = Path.cwd() / folder
    if not folder.exists():
        parent = next((above for above in folder.parents if above.is_dir()), None)
        raise DataDefect(f"{folder} ({origin}): expected a folder, found nothing; the path exists as far as {parent}")
    if not folder.is_dir():
        raise DataDefect(f"{folder} ({origin}): expected a folder, found a file")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise DataDefect(f"{folder} ({origin}): this process may not list the folder; give it read permission")
    return folder.resolve()

"""The prepared datasets on disk: listed, found by a short name, and old ones removed."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect, nearest
from cxr_tasks.contracts.labels import SPLITS
from cxr_tasks.datasets.latest import LATEST_FILE
from cxr_tasks.installation.storage.changes import move, remove_tree
from cxr_tasks.installation.storage.files import read_json
from cxr_tasks.installation.storage.locks import file_lock, is_locked
from cxr_tasks.installation.storage.paths import datasets_root

#: How a version's folder is called: the first digits of its fingerprint.
_VERSION_FOLDER = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVersion:
    """One version of a dataset, or a folder that should be one and is not."""

    name: str
    folder: Path
    is_latest: bool
    n_bytes: int
    fault: str = ""
    """Why the folder is no usable version; then the fields below are empty."""
    fingerprint: str = ""
    made_at: str = ""
    recipe: str = ""
    vocabulary: str = ""
    size_px: int = 0
    n_images: int = 0
    n_patients: int = 0

    @property
    def label(self) -> str:
        """``name@fingerprint``, as commands take it."""
        return f"{self.name}@{self.folder.name}"


def stored_versions(name: str | None = None) -> list[StoredVersion]:
    """All versions (of the dataset ``name``), by name, newest first; what is no usable version comes last.

    Raises:
        ConfigurationError: There is no dataset of that name; the nearest and all known ones are named.
    """
    folders = {folder.name: folder for folder in _folders(datasets_root())}
    if name is not None and name not in folders:
        known = ", ".join(sorted(folders)) or "none is prepared yet"
        raise ConfigurationError(f"dataset {name!r} is not known{nearest(name, folders)}; known: {known}")
    chosen = [folders[name]] if name is not None else [folders[present] for present in sorted(folders)]
    datasets = []
    for folder in chosen:
        latest = _latest_fingerprint(folder)
        versions = [_version(folder.name, version, latest) for version in _folders(folder)]
        versions.sort(key=lambda version: (version.made_at, version.folder.name), reverse=True)
        datasets += versions
    return datasets


def find_version(text: str) -> StoredVersion:
    """The version that ``text`` names: ``NAME@FINGERPRINT``, where its first digits do, or ``NAME`` for the newest.

    Raises:
        ConfigurationError: None or several are meant; those there are, are named.
        DataDefect: The folder meant is no usable version.
    """
    name, _, digits = text.partition("@")
    versions = stored_versions(name)
    shown = ", ".join(version.label for version in versions) or "none"
    if digits:
        meant = [
            version
            for version in versions
            if version.fingerprint.startswith(digits) or version.folder.name.startswith(digits)
        ]
    else:
        meant = [version for version in versions if version.is_latest]
    if len(meant) != 1:
        how_many = "several versions" if meant else "no version" if digits else "no published version"
        raise ConfigurationError(f"{text!r} names {how_many}; there are: {shown}")
    if meant[0].fault:
        raise DataDefect(f"{meant[0].folder}: {meant[0].fault}")
    return meant[0]


def removable(
    versions: list[StoredVersion], *, keep: int, in_use: Collection[str]
) -> tuple[list[StoredVersion], dict[str, str]]:
    """Which of one dataset's ``versions`` (newest first) may go, and why each other one stays, by its label.

    Args:
        keep: How many of the newest whole ones stay in any case.
        in_use: Fingerprints that stay because a model was trained on them.
    """
    kept: dict[str, str] = {}
    n_whole = 0
    for version in versions:
        n_whole += not version.fault
        if version.is_latest:
            kept[version.label] = "the newest, which training takes"
        elif not _VERSION_FOLDER.fullmatch(version.folder.name):
            kept[version.label] = "no version that this platform has made"
        elif not version.fault and version.fingerprint in in_use:
            kept[version.label] = "a model was trained on it"
        elif not version.fault and n_whole <= keep:
            kept[version.label] = f"among the {keep} newest"
    return [version for version in versions if version.label not in kept], kept


def remove_version(version: StoredVersion) -> None:
    """Remove one version's folder; out of its place first, so that no reader finds half of it.

    Raises:
        ServiceUnavailable: It is being prepared at this moment.
    """
    what = f"dataset {version.label}"
    with file_lock(lock_path(version.folder), what=what, purpose="removing it", wait_s=0):
        # The name of what a killed prepare leaves, so that it goes in the end if this is killed too.
        aside = version.folder.with_name(f".{version.folder.name}.removed")
        remove_tree(aside, even_if_stuck=True)
        move(version.folder, aside)
        remove_tree(aside)


def left_overs(name: str) -> list[Path]:
    """Folders that prepares of the dataset ``name`` left behind when they were killed."""
    folders = []
    for path in sorted((datasets_root() / name).glob(".*.*")):
        target = path.with_name(path.name[1:].split(".")[0])
        if path.is_dir() and not is_locked(lock_path(target)):
            folders.append(path)
    return folders


def lock_path(folder: Path) -> Path:
    """The file whose lock a process holds while it writes ``folder``."""
    return folder.parent / f".{folder.name}-lock"


def _folders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        return []
    return sorted(path for path in parent.iterdir() if path.is_dir() and not path.name.startswith("."))


def _latest_fingerprint(folder: Path) -> str:
    path = folder / LATEST_FILE
    return str(read_json(path).get("fingerprint", "")) if path.is_file() else ""


def _version(name: str, folder: Path, latest: str) -> StoredVersion:
    n_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    is_latest = bool(latest) and folder.name == latest[:16]
    try:
        provenance, statistics = (read_json(folder / file) for file in ("provenance.json", "statistics.json"))
        read: dict[str, Any] = {
            "fingerprint": provenance["fingerprint"],
            "made_at": provenance["made_at"],
            "recipe": provenance["recipe"],
            "vocabulary": provenance["vocabulary"],
            "size_px": provenance["pixels"]["size_px"],
            "n_images": sum(statistics[split]["n_images"] for split in SPLITS),
            "n_patients": sum(statistics[split]["n_patients"] for split in SPLITS),
        }
    except (DataDefect, KeyError, TypeError) as error:
        fault = f"not a whole dataset: {error}"
        return StoredVersion(name=name, folder=folder, is_latest=is_latest, n_bytes=n_bytes, fault=fault)
    return StoredVersion(name=name, folder=folder, is_latest=is_latest, n_bytes=n_bytes, **read)

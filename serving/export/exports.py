"""Exported versions, kept until they are no longer of use, so that a version is exported and checked once.

``var/exports/<model>/<version>/`` holds the SavedModel in a folder with the version's number (a base path as the model
server wants it), ``export.json`` with what it was made from, and ``parity.json`` once the check has passed.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from cxr_tasks.contracts.artifacts import ArtifactRef
from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.handoffs.release import RegisteredModel
from cxr_tasks.contracts.shapes import build, plain
from cxr_tasks.images import rules
from cxr_tasks.installation.processor import has_bf16_units
from cxr_tasks.installation.storage.changes import remove_tree
from cxr_tasks.installation.storage.files import (
    published_folder,
    read_json,
    reference_to,
    sha256_file,
    tree_sha256,
    write_json,
)
from cxr_tasks.installation.storage.paths import home
from serving.export.precision_asked import asked_precision

log = logging.getLogger(__name__)

#: So many of a model's exports stay beside those that serve or are about to.
KEPT_EXPORTS = 4

_EXPORT_FILES = ("saved_model.py", "golden.py", "signature.py", "frozen.py", "lean.py", "typicality.py")
_CODE = (
    *(Path(__file__).with_name(name) for name in _EXPORT_FILES),
    *(Path(rules.__file__).with_name(name) for name in ("rules.py", "pixels.py", "batches.py")),
    *sorted(Path(rules.__file__).with_name("graph").glob("*.py")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRecord:
    """What a kept export was made from, and what it came to; all of it is in ``export.json``."""

    model_name: str
    version: int
    mlflow_run_id: str
    """The run that the version was registered from: numbers start anew in a new registry."""
    made_by: str
    """sha256 of the code, the library versions and the limits that the served graph comes from."""
    sha256: str
    """sha256 over names and contents of the SavedModel's files."""
    model_sha256: str = ""
    """sha256 of the ``.keras`` file it was made from, which is the one that the gate judged; '' in records written
    before it was kept."""
    precision: str = "float32"
    """Arithmetic of its network (``lean.lean_network``)."""


@dataclass(frozen=True, slots=True)
class Export:
    """A kept export, found whole."""

    record: ExportRecord
    folder: Path

    @property
    def base_path(self) -> Path:
        """Folder whose only version this is."""
        return self.folder

    @property
    def saved_model(self) -> Path:
        return self.folder / str(self.record.version)

    def passed(self) -> ArtifactRef | None:
        """``parity.json`` where the check has passed for this very export."""
        path = self.folder / "parity.json"
        if not path.is_file() or read_json(path).get("export_sha256") != self.record.sha256:
            return None
        return reference_to(path)

    def write_parity(self, parity: dict) -> ArtifactRef:
        path = self.folder / "parity.json"
        write_json(path, {**parity, "export_sha256": self.record.sha256})
        return reference_to(path)


def export_folder(model_name: str, version: int) -> Path:
    """Where the export of a version is kept, if it is."""
    return home() / "exports" / model_name / str(version)


def find_export(registered: RegisteredModel) -> Export | None:
    """The kept export of a version, every byte of it as it was written; None where there is none or it is no longer so.

    One made from another run, by other code or by other libraries is none.
    """
    folder = export_folder(registered.model_name, registered.version)
    try:
        record = export_record(registered.model_name, registered.version)
    except (DataDefect, ConfigurationError) as error:
        log.warning("the export in %s cannot be used: %s", folder, error)
        return None
    if record is None:
        return None
    export = Export(record, folder)
    sha256 = tree_sha256(export.saved_model) if export.saved_model.is_dir() else "none"
    expected = _record(registered, sha256, record.model_sha256, record.precision)
    if record != expected:
        log.warning("the export in %s cannot be used: expected %s, found %s", folder, expected, record)
        return None
    return export


def export_record(model_name: str, version: int) -> ExportRecord | None:
    """What the kept export under a number was made from; None where there is none.

    Raises:
        DataDefect, ConfigurationError: ``export.json`` is missing or not such a record.
    """
    folder = export_folder(model_name, version)
    if not folder.is_dir():
        return None
    return build(ExportRecord, read_json(folder / "export.json"), "export.json")


@contextlib.contextmanager
def kept_export(registered: RegisteredModel, model_sha256: str = "", precision: str = "float32") -> Iterator[Path]:
    """A folder to write a version's SavedModel to; kept, with its record, when the block ends well.

    Whatever was kept of the version before is removed first.

    Args:
        model_sha256: Of the ``.keras`` file that it is made from.
    """
    folder = export_folder(registered.model_name, registered.version)
    remove_export(registered)
    with published_folder(folder) as aside:
        target = aside / str(registered.version)
        yield target
        write_json(aside / "export.json", plain(_record(registered, tree_sha256(target), model_sha256, precision)))


def checked_against(export: Export, model_sha256: str) -> Export:
    """The same export, recorded as made from that model: its answers were just compared with the model's own."""
    record = replace(export.record, model_sha256=model_sha256)
    write_json(export.folder / "export.json", plain(record))
    return Export(record, export.folder)


def remove_export(registered: RegisteredModel) -> None:
    """Remove what is kept of a version, whole or not."""
    folder = export_folder(registered.model_name, registered.version)
    if folder.exists():
        remove_tree(folder)


def prepared_export(registered: RegisteredModel) -> Export:
    """The kept export of a version; ``DataDefect`` where there is none, or one that was changed."""
    export = find_export(registered)
    if export is None:
        raise DataDefect(
            f"{export_folder(registered.model_name, registered.version)}: expected the export that was made "
            "for this version, found none, or a changed one; release it again from the start"
        )
    return export


def prune_exports(model_name: str, keep: frozenset[int], newest: int = KEPT_EXPORTS) -> list[int]:
    """Remove all exports of a model but those of ``keep`` and the ``newest`` others; the removed versions.

    Newest by when they were checked, not by number: numbers begin anew in a new registry.
    """
    base = export_folder(model_name, 0).parent
    kept = [int(path.name) for path in base.iterdir() if path.name.isdecimal()] if base.is_dir() else []
    old = sorted(
        (version for version in kept if version not in keep),
        key=lambda version: (_made_at(base / str(version)), version),
    )[:-newest]
    for version in old:
        remove_tree(base / str(version))
    return old


def _made_at(folder: Path) -> int:
    """When an export was made or last checked, in ns; 0 of one that is not whole."""
    record = folder / "export.json"
    return record.stat().st_mtime_ns if record.is_file() else 0


def _record(registered: RegisteredModel, sha256: str, model_sha256: str, precision: str) -> ExportRecord:
    return ExportRecord(
        model_name=registered.model_name,
        version=registered.version,
        mlflow_run_id=registered.mlflow_run_id,
        made_by=_made_by(),
        sha256=sha256,
        model_sha256=model_sha256,
        precision=precision,
    )


def _made_by() -> str:
    libraries = [f"{name}=={importlib.metadata.version(name)}" for name in ("tensorflow", "keras")]
    limits = str(plain(rules.requested_limits(os.environ)))
    # What is fast on one processor is emulated on another.
    limits += f", {asked_precision(os.environ)}, bf16 units: {has_bf16_units()}"
    return hashlib.sha256("\n".join([*(sha256_file(file) for file in _CODE), *libraries, limits]).encode()).hexdigest()

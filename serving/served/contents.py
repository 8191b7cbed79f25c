"""What lies under the version numbers on disk: which run it came from, and whether it is still what was published."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cxr_tasks.contracts.errors import CxrError, DataDefect, ReleaseRefused
from cxr_tasks.installation.storage.files import tree_sha256
from cxr_tasks.registry.audit import trail
from serving.export.exports import Export, export_record
from serving.served import version_folders as on_disk
from serving.served.state import UNKNOWN_RUN, Content, ServingState


def with_contents(model_name: str, state: ServingState) -> ServingState:
    """``state`` with what can be told of versions that were published before their contents were kept.

    The run is that of the kept export with the very same files; else the run that the audit log knows for the number.
    Where the log knows two, the number has come again, and nothing says whose files these are: the champion then counts
    as not dealt with, and its release puts it right.
    """
    for version in sorted(state.kept):
        if not state.content_of(version).export_sha256 and version in on_disk.versions_on_disk(model_name):
            state = state.with_content(version, _found(model_name, version))
    if state.handled is not None and not state.handled_run:
        handled = state.content_of(state.handled)
        run = handled.mlflow_run_id or (UNKNOWN_RUN if len(runs_of(model_name, state.handled)) > 1 else "")
        state = replace(state, handled_run=run)
    return state


def runs_of(model_name: str, version: int) -> list[str]:
    """The runs that the audit log knows as registered under a number, in order; more than one: it has come again."""
    told = (
        str(entry.detail["mlflow_run_id"])
        for entry in trail.entries(model_name)
        if entry.kind == "registered" and entry.version == version and entry.detail.get("mlflow_run_id")
    )
    return list(dict.fromkeys(told))


def require_unchanged(model_name: str, version: int, content: Content) -> None:
    """``DataDefect`` where the files on disk are not those that were published."""
    if problem := changed_files(model_name, version, content):
        raise DataDefect(f"{problem}; release the version again, which exports it anew, or promote another one")


def changed_files(model_name: str, version: int, content: Content) -> str:
    """How the files of a version differ from those that were published; '' where they do not, or none are known."""
    folder = on_disk.version_folder(model_name, version)
    if not content.export_sha256 or not folder.is_dir():
        return ""
    sha256 = tree_sha256(folder)
    if sha256 == content.export_sha256:
        return ""
    return (
        f"{folder}: expected the files that were published (sha256 {content.export_sha256[:12]}...), found others "
        f"({sha256[:12]}...)"
    )


def is_whole(model_name: str, version: int, content: Content) -> bool:
    """Whether the files of a version are there, all and as they were published."""
    return on_disk.version_folder(model_name, version).is_dir() and not changed_files(model_name, version, content)


def _found(model_name: str, version: int) -> Content:
    sha256 = tree_sha256(on_disk.version_folder(model_name, version))
    try:
        record = export_record(model_name, version)
    except CxrError:
        record = None
    if record is not None and record.sha256 == sha256:
        return Content(mlflow_run_id=record.mlflow_run_id, export_sha256=sha256, model_sha256=record.model_sha256)
    runs = runs_of(model_name, version)
    return Content(mlflow_run_id=runs[0] if len(runs) == 1 else "", export_sha256=sha256)


def unless_on_disk(export: Export, loaded: tuple[int, ...]) -> Path | None:
    """The SavedModel to publish; None where it lies in its place.

    Another one under the same number, such as an older export, is taken away first.

    Raises:
        ReleaseRefused: The server has another one loaded under that number: versions are not replaced in place.
    """
    name, version = export.record.model_name, export.record.version
    if version not in on_disk.versions_on_disk(name):
        return export.saved_model
    sha256 = tree_sha256(on_disk.version_folder(name, version))
    if sha256 == export.record.sha256:
        return None
    if version in loaded:
        raise ReleaseRefused(
            f"{name}: another version {version} is loaded (export {sha256[:12]}..., to be published: "
            f"{export.record.sha256[:12]}...); release version {version} as champion, which unloads the other one first"
        )
    on_disk.withdraw(name, version)
    return export.saved_model

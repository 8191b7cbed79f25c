"""Files of the run-time folder: hashed, written and published whole or not at all; files by reference."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cxr_tasks.contracts.artifacts import ArtifactRef
from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.installation.storage.paths import home, relocated

#: Of ``tf.errors``: UNKNOWN, PERMISSION_DENIED, RESOURCE_EXHAUSTED, UNAVAILABLE. Damaged records are DATA_LOSS.
_SYSTEM_CODES = frozenset({2, 7, 8, 14})


def sha256_file(path: Path) -> str:
    """sha256 of a file's bytes, as hex; reads in blocks, so any size."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def reference_to(path: Path) -> ArtifactRef:
    """The file as it is now, by path and digest."""
    return ArtifactRef(uri=str(path), sha256=sha256_file(path))


def verified_path(artifact: ArtifactRef) -> Path:
    """Today's path of a file, once its content is known to be what it was; otherwise ``DataDefect``."""
    path = relocated(Path(artifact.uri))
    if path != Path(artifact.uri) and Path(artifact.uri).is_file() and sha256_file(path) != artifact.sha256:
        path = Path(artifact.uri)  # another file that happens to be called so here
    if not path.is_file():
        raise DataDefect(f"{path}: expected a file written by an earlier task, found none; run that task again")
    sha256 = sha256_file(path)
    if sha256 != artifact.sha256:
        raise DataDefect(
            f"{path}: expected sha256 {artifact.sha256[:12]}..., found {sha256[:12]}...; "
            "it was changed after it was written"
        )
    return path


def is_of_the_system(error: Exception) -> bool:
    """Whether the system refused a file that is there: its disk or the rights to it, not what the file holds.

    Libraries raise ``OSError`` at damaged content too, without the number that the system's errors bear; TensorFlow
    has kinds of its own.
    """
    if getattr(error, "error_code", None) in _SYSTEM_CODES:
        return True
    return isinstance(error, OSError) and error.errno is not None and not isinstance(error, FileNotFoundError)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as JSON so that a reader sees the old file or the new one, never half. NaN is refused."""
    write_text(path, json.dumps(value, indent=2, sort_keys=False, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8 by way of a temporary name and a rename."""
    with replaced_file(path) as aside:
        aside.write_text(text, encoding="utf-8")


def read_json(path: Path) -> Any:
    """The JSON value in ``path``; a missing or broken file is a ``DataDefect`` that names it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataDefect(f"{path}: expected a JSON file, found none") from None
    except ValueError as error:
        raise DataDefect(f"{path}: expected JSON, found {error}") from None


@contextlib.contextmanager
def replaced_file(path: Path, *, is_private: bool = False) -> Iterator[Path]:
    """A path to write to beside ``path``; renamed over it when the block ends well, removed when it does not.

    Below the run-time folder it is for its owner only, as tables and pages there are of patients; elsewhere where
    ``is_private``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    os.close(descriptor)
    aside = Path(name)
    try:
        yield aside
        with open(aside, "rb") as stream:
            os.fsync(stream.fileno())
        aside.chmod(0o600 if is_private or path.absolute().is_relative_to(home()) else 0o644)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


@contextlib.contextmanager
def published_folder(folder: Path) -> Iterator[Path]:
    """An empty folder to fill beside ``folder``; renamed to it when the block ends well, removed when it does not.

    The name beside it starts with a dot, so a model server that looks for numeric folder names never sees it.
    If ``folder`` exists by then (another run published it first), the new one is dropped: the first one stands.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield aside
        aside.chmod(0o700 if folder.absolute().is_relative_to(home()) else 0o755)
        if not folder.exists():
            os.rename(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def tree_sha256(folder: Path) -> str:
    """sha256 over the relative names and contents of all files below ``folder``, as hex."""
    digest = hashlib.sha256()
    for path in sorted(file for file in folder.rglob("*") if file.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{sha256_file(path)}\n".encode())
    return digest.hexdigest()

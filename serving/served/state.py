"""Which versions of a model serve and in which part, on disk, and the lock under which that changes.

``var/served/<model>/state.json`` (a row of Postgres where several machines work) is the truth that ``models.config`` is
generated from; the registry's alias ``champion`` is the wish. Numbers alone do not say what serves: a registry that is
made anew counts from 1 again. So the state also keeps, of each version on disk, the MLflow run it came from and the
digest of its files.

A file on a network volume may be read as it was seconds ago, also by who holds the lock; beside the row it is a copy.

Whoever changes what serves (a release, a rollback, a canary) holds the model's lock all the while; the kernel lets go
of it when its process dies.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cxr_tasks.contracts.shapes import build, plain
from cxr_tasks.installation.storage.addresses import is_shared
from cxr_tasks.installation.storage.files import read_json, write_json
from cxr_tasks.installation.storage.locks import file_lock, is_locked
from cxr_tasks.installation.storage.paths import served_root
from cxr_tasks.installation.storage.shared_rows import shared_rows
from serving.served.version_folders import versions_on_disk

STATE_FILE = "state.json"
LOCK_FILE = ".lock"
#: A release that waits for a busy machine to load a version holds the lock for minutes.
LOCK_WAIT_S = 600.0
#: In place of a run that cannot be told: no run of the registry is that one.
UNKNOWN_RUN = "unknown"
_TABLE = "CREATE TABLE IF NOT EXISTS serving_states (model TEXT PRIMARY KEY, state TEXT NOT NULL)"
_PUT = """
INSERT INTO serving_states (model, state) VALUES (%s, %s) ON CONFLICT (model) DO UPDATE SET state = excluded.state
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What lies under a version's number on disk; '' where it is not known."""

    mlflow_run_id: str = ""
    """The run that the version was registered from."""
    export_sha256: str = ""
    """Of names and contents of the SavedModel's files."""
    model_sha256: str = ""
    """Of the ``.keras`` file that it was exported from."""

    def is_of_run(self, run_id: str) -> bool:
        """Whether it came from that run, as far as is known."""
        return not self.mlflow_run_id or not run_id or self.mlflow_run_id == run_id

    def __str__(self) -> str:
        """
        >>> str(Content(mlflow_run_id="4be1a0c2d9", export_sha256="85e26e77aa01ff"))
        'run 4be1a0c2, export 85e26e77aa01'
        """
        run = self.mlflow_run_id[:8] or UNKNOWN_RUN
        return f"run {run}, export {self.export_sha256[:12] or 'not recorded'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingState:
    """Version numbers by the part they have; None where there is none."""

    stable: int | None = None
    """Bears label ``stable``."""
    previous: int | None = None
    """Served before ``stable`` and kept on disk, not loaded: what a rollback goes back to."""
    canary: int | None = None
    """Bears label ``canary``, loaded beside ``stable``."""
    changing: int | None = None
    """Loaded without a label while a change goes on: on its way in before the label moves, on its way out after.
    Found while nobody holds the lock, it was left by a process that was killed."""
    handled: int | None = None
    """The champion that a release last dealt with, well or not. Another champion in the registry is due."""
    handled_run: str = ""
    """The run that ``handled`` was registered from; '' in states written before runs were kept."""
    contents: dict[str, Content] = field(default_factory=dict)
    """Version number (as text, which JSON wants) -> what lies under it on disk."""

    @property
    def loaded(self) -> tuple[int, ...]:
        """Versions that the model server is to have loaded, ascending."""
        return tuple(sorted({version for version in (self.stable, self.canary, self.changing) if version is not None}))

    @property
    def kept(self) -> frozenset[int]:
        """Versions that stay on disk."""
        return frozenset({*self.loaded} | ({self.previous} if self.previous is not None else set()))

    def is_due(self, champion: int, run_id: str = "") -> bool:
        """Whether the registry's champion still has to be released.

        Another run under the same number is another champion; a champion without a run is not known to be the same.
        """
        return champion != self.handled or (bool(self.handled_run) and run_id != self.handled_run)

    def content_of(self, version: int | None) -> Content:
        """What lies on disk under that number, as far as it was kept."""
        return self.contents.get(str(version), Content())

    def with_content(self, version: int, content: Content) -> ServingState:
        """This state with ``content`` under that number."""
        return replace(self, contents={**self.contents, str(version): content})


def read_state(model_name: str) -> ServingState:
    """The state as it is kept. Where there is none yet, it is derived from the version folders.

    Versions published before states were written served as the newest on disk, and the one before was kept for going
    back; the same holds for such an installation now.

    Raises:
        DataDefect: ``state.json`` is not JSON.
        ConfigurationError: It has other keys or types than ``ServingState``.
        ServiceUnavailable: The shared database does not answer.
    """
    path = _state_path(model_name)
    if is_shared() and (kept := _shared_state(model_name)) is not None:
        return build(ServingState, kept, f"the shared database, state of {model_name}")
    if path.is_file():
        return build(ServingState, read_json(path), str(path))
    older, newest = [None, None, *versions_on_disk(model_name)][-2:]
    return ServingState(stable=newest, previous=older, handled=newest)


def write_state(model_name: str, state: ServingState) -> None:
    """Put ``state`` in place of the one that is kept, whole or not at all. To be called under ``locked``.

    What it says of versions that are not kept is left out: a number that comes again must not find it.
    """
    kept = {str(version) for version in state.kept}
    contents = {number: content for number, content in state.contents.items() if number in kept}
    told = plain(replace(state, contents=contents))
    if is_shared():
        with shared_rows("what serves", _TABLE) as rows:
            rows.execute(_PUT, (model_name, json.dumps(told)))
    write_json(_state_path(model_name), told)


@contextlib.contextmanager
def locked(model_name: str, purpose: str = "a change of what serves", wait_s: float = LOCK_WAIT_S) -> Iterator[None]:
    """Be the only one who changes what serves of ``model_name``, for the length of the block; not to be nested.

    Args:
        purpose: What the holder does, shown to those who wait in vain.
        wait_s: How long to wait for the present holder; 0 asks once.

    Raises:
        ServiceUnavailable: Somebody else holds the lock after ``wait_s``.
    """
    path = served_root() / model_name / LOCK_FILE
    with file_lock(path, what=f"what serves of {model_name}", purpose=purpose, wait_s=wait_s):
        yield


def is_being_changed(model_name: str) -> bool:
    """Whether a release, rollback or canary is at it now, or was about to be: what it comes to is not known yet."""
    return is_locked(served_root() / model_name / LOCK_FILE)


def _shared_state(model_name: str) -> dict[str, Any] | None:
    with shared_rows("what serves", _TABLE) as rows:
        row = rows.execute("SELECT state FROM serving_states WHERE model = %s", (model_name,)).fetchone()
    return None if row is None else json.loads(row[0])


def _state_path(model_name: str) -> Path:
    return served_root() / model_name / STATE_FILE


def retry_release(model: str, version: int) -> bool:
    """Let the release of a version that was refused or failed be tried again; whether it had been dealt with.

    Where the version is champion, the watch tells of it again.
    """
    with locked(model, f"another try at version {version}"):
        state = read_state(model)
        serves = state.stable == version and state.content_of(version).is_of_run(state.handled_run)
        if state.handled != version or serves:
            return False
        write_state(model, replace(state, handled=None, handled_run=""))
    return True

"""Versions on disk: looks into each model's base path and says which versions are wanted."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from tensorflow_serving.config import file_system_storage_path_source_pb2 as source_pb2

log = logging.getLogger(__name__)

VersionPolicy: TypeAlias = source_pb2.FileSystemStoragePathSourceConfig.ServableVersionPolicy
MAX_VERSION = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Watched:
    """A model on disk: its base path and which of its versions to serve (the newest one where nothing is said)."""

    base_path: Path
    policy: VersionPolicy


class VersionPoller:
    """Tells ``aspire(model, {version: folder})`` what is wanted of each model, at every look.

    A base path that is gone says nothing, so what serves goes on serving; one model's missing path does not keep the
    others from being looked at. A base path without versions asks for none, which unloads the model.
    """

    def __init__(self, aspire: Callable[[str, Mapping[int, Path]], None], wait_seconds: int) -> None:
        self._aspire = aspire
        self._wait_seconds = wait_seconds
        self._watched: dict[str, Watched] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._said: dict[str, str] = {}
        self._thread: threading.Thread | None = None

    def watch(self, watched: Mapping[str, Watched]) -> None:
        """Replaces the whole list; looks at newly listed models at once and drops the ones left out."""
        with self._lock:
            before, self._watched = self._watched, dict(watched)
            for name in before.keys() - watched.keys():
                self._aspire(name, {})
            for name in watched.keys() - before.keys():
                self._look(name, watched[name])

    def start(self) -> None:
        """Begins to look every ``wait_seconds``; 0 looks once only and below 0 never again."""
        if self._wait_seconds > 0:
            self._thread = threading.Thread(target=self._poll, name="version-poller", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Ends the looking."""
        self._stop.set()

    def _poll(self) -> None:
        while not self._stop.wait(self._wait_seconds):
            self.look()

    def look(self) -> None:
        """One look at all models."""
        with self._lock:
            for name, watched in self._watched.items():
                self._look(name, watched)

    def _look(self, name: str, watched: Watched) -> None:
        try:
            present = versions_in(watched.base_path)
        except OSError as error:
            why = "not found" if isinstance(error, FileNotFoundError) else error.strerror
            self._say(
                name,
                logging.ERROR,
                "FileSystemStoragePathSource encountered a filesystem access error: Could not find base path "
                f"{watched.base_path} for servable {name} with error NOT_FOUND: {watched.base_path} {why}",
            )
            return
        wanted = self._wanted(name, watched, present)
        if wanted is not None:
            self._aspire(name, wanted)

    def _wanted(self, name: str, watched: Watched, present: dict[int, Path]) -> dict[int, Path] | None:
        policy = watched.policy
        kind = policy.WhichOneof("policy_choice")
        problem = ""
        if kind == "specific":
            wanted = {version: present[version] for version in policy.specific.versions if version in present}
            missing = [version for version in policy.specific.versions if version not in present]
            if not policy.specific.versions:
                problem = f"No specific versions requested for servable {name}."
            elif missing:
                problem = (
                    f"Version {missing[0]} of servable {name}, which was requested to be served as a 'specific' "
                    "version in the servable's version policy, was not found in the file system"
                )
        elif kind == "all":
            wanted = present
        else:
            newest = sorted(present, reverse=True)[: max(1, policy.latest.num_versions)]
            wanted = {version: present[version] for version in newest}
        if not wanted and not problem.startswith("No specific"):
            problem = (
                f"No versions of servable {name} found under base path {watched.base_path}. "
                "Did you forget to name your leaf directory as a number (eg. '/1/')?"
            )
        self._say(name, logging.WARNING, problem)
        return wanted

    def _say(self, name: str, level: int, text: str) -> None:
        """Logs ``text`` when it is news: a look each second would fill the log with one sentence."""
        if text and self._said.get(name) != text:
            log.log(level, "%s", text)
        self._said[name] = text


def versions_in(base_path: Path) -> dict[int, Path]:
    """The version folders under ``base_path`` by number: folders named in ASCII digits, ``00000008`` is 8.

    Raises:
        OSError: ``base_path`` cannot be listed.
    """
    versions: dict[int, Path] = {}
    for child in sorted(base_path.iterdir(), key=lambda path: (len(path.name), path.name)):
        if re.fullmatch(r"[0-9]{1,19}", child.name) and int(child.name) <= MAX_VERSION and child.is_dir():
            versions.setdefault(int(child.name), child)
    return versions

"""Keeps the wanted versions of all models loaded: loads the new before it unloads the old, one thread deciding."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from serving.server.loading import states
from serving.server.loading.servable import Servable
from serving.server.loading.states import StateBoard, VersionState
from serving.server.status import StatusError

log = logging.getLogger(__name__)

Loader = Callable[[str, int, Path], Servable]


@dataclass(slots=True)
class _Version:
    """A version in the manager's hands. ``phase``: new, loading, ready, unloading or failed."""

    path: Path
    phase: str = "new"
    is_wanted: bool = True
    servable: Servable | None = None


@dataclass(frozen=True, slots=True)
class LoadPolicy:
    """How loads are tried and by how many threads; 0 threads: one load or unload at a time, in the deciding thread."""

    max_retries: int = 5
    retry_interval_s: float = 60.0
    n_load_threads: int = 0
    n_unload_threads: int = 0


class VersionManager:
    """Brings the loaded versions in line with the wanted ones and hands out what serves.

    A version that is no longer wanted goes only when a wanted one serves, or when none is wanted; a version whose load
    failed stays failed until it is no longer wanted. ``serving`` is replaced as a whole, so readers need no lock.
    """

    def __init__(self, load: Loader, policy: LoadPolicy, board: StateBoard) -> None:
        self._load, self._policy, self._board = load, policy, board
        self._versions: dict[str, dict[int, _Version]] = {}
        self._pending: dict[str, Mapping[int, Path]] = {}
        self._wanted: dict[str, Mapping[int, Path]] = {}
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._loaders = _executor(policy.n_load_threads, "load")
        self._unloaders = _executor(policy.n_unload_threads, "unload")
        self.serving: Mapping[str, Mapping[int, Servable]] = {}

    def aspire(self, name: str, versions: Mapping[int, Path]) -> None:
        """Says which versions of ``name`` are wanted from now on; returns at once."""
        with self._lock:
            if self._wanted.get(name) == versions:
                return
            self._wanted[name] = dict(versions)
            self._pending[name] = self._wanted[name]
        self._wake.set()

    def wanted_of(self, name: str) -> Collection[int]:
        """The wanted versions of ``name``; empty while the manager has not taken note of them."""
        with self._lock:
            return () if name in self._pending else tuple(self._wanted.get(name, ()))

    def start(self) -> None:
        """Begins to load and unload."""
        threading.Thread(target=self._run, name="version-manager", daemon=True).start()

    def stop(self) -> None:
        """Ends the deciding; what is loaded stays loaded."""
        self._stop.set()
        self._wake.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(1.0)
            self._wake.clear()
            self._take_pending()
            while not self._stop.is_set() and self._act_once():
                self._take_pending()

    def _take_pending(self) -> None:
        with self._lock:
            for name, wanted in list(self._pending.items()):
                held = self._versions.setdefault(name, {})
                # A version on its way out must be gone before it may come again.
                if any(entry.phase == "unloading" and version in wanted for version, entry in held.items()):
                    continue
                del self._pending[name]
                for version, entry in list(held.items()):
                    entry.is_wanted = version in wanted
                    if entry.phase in {"failed", "new"} and not entry.is_wanted:
                        if entry.phase == "new":
                            self._board.put(name, version, VersionState(states.END))
                        del held[version]
                for version, path in wanted.items():
                    if version not in held:
                        held[version] = _Version(path)
                        self._board.put(name, version, VersionState(states.START))

    def _act_once(self) -> bool:
        """Starts one load or unload; False where nothing is to be done."""
        with self._lock:
            for name, held in self._versions.items():
                leaving = _to_unload(held)
                if leaving is not None:
                    held[leaving].phase = "unloading"
                    work: Callable[[], None] = _bound(self._unload_one, name, leaving)
                    executor = self._unloaders
                    break
                coming = _to_load(held)
                if coming is not None:
                    held[coming].phase = "loading"
                    work = _bound(self._load_one, name, coming)
                    executor = self._loaders
                    break
            else:
                return False
        if executor is None:
            work()
        else:
            executor.submit(work)
        return True

    def _load_one(self, name: str, version: int) -> None:
        entry = self._versions[name][version]
        self._board.put(name, version, VersionState(states.LOADING))
        log.info("Loading servable version {name: %s version: %d}", name, version)
        servable, error = self._try_to_load(name, version, entry.path)
        with self._lock:
            entry.servable, entry.phase = servable, "ready" if servable else "failed"
            if servable:
                self._publish(name, version, servable)
            elif not entry.is_wanted:
                del self._versions[name][version]
        if servable:
            log.info("Successfully loaded servable version {name: %s version: %d}", name, version)
        self._board.put(name, version, VersionState(states.AVAILABLE if servable else states.END, error))
        self._wake.set()

    def _try_to_load(self, name: str, version: int, path: Path) -> tuple[Servable | None, StatusError | None]:
        error = StatusError("CANCELLED", "The load was given up before its first try")
        for attempt in range(1 + max(0, self._policy.max_retries)):
            if attempt and not self._pause_before_retry(name, version):
                break
            try:
                return self._load(name, version, path), None
            except StatusError as caught:
                error = caught
            except Exception as caught:
                # Whatever a foreign model breaks, the server and what it serves go on; the cause is in the log.
                log.exception("Loading servable: {name: %s version: %d} broke", name, version)
                error = StatusError("INTERNAL", f"{type(caught).__name__}: {caught}")
            log.error("Loading servable: {name: %s version: %d} failed: %s", name, version, error)
            self._board.put(name, version, VersionState(states.LOADING, is_retrying=True))
        log.error("Servable {name: %s version: %d} cannot be loaded: %s", name, version, error)
        return None, error

    def _pause_before_retry(self, name: str, version: int) -> bool:
        """Waits for the next try; False where the version is no longer wanted or the server stops."""
        slept = 0.0
        while slept < self._policy.retry_interval_s:
            step = min(0.2, self._policy.retry_interval_s - slept)
            if self._stop.wait(step):
                return False
            slept += step
            with self._lock:
                if version not in self._wanted.get(name, {}):
                    return False
        return True

    def _unload_one(self, name: str, version: int) -> None:
        servable = self._versions[name][version].servable
        log.info("Unloading servable version {name: %s version: %d}", name, version)
        with self._lock:
            self._publish(name, version, None)
        self._board.put(name, version, VersionState(states.UNLOADING))
        if servable is not None:
            servable.close_when_idle()
        with self._lock:
            del self._versions[name][version]
            self._board.put(name, version, VersionState(states.END))
        log.info("Done unloading servable version {name: %s version: %d}", name, version)
        self._wake.set()

    def _publish(self, name: str, version: int, servable: Servable | None) -> None:
        versions = {number: loaded for number, loaded in self.serving.get(name, {}).items() if number != version}
        if servable is not None:
            versions[version] = servable
        serving = {key: servables for key, servables in self.serving.items() if key != name}
        if versions:
            serving[name] = dict(sorted(versions.items()))
        self.serving = serving


def _to_unload(held: Mapping[int, _Version]) -> int | None:
    wanted = [entry for entry in held.values() if entry.is_wanted]
    if wanted and not any(entry.phase == "ready" for entry in wanted):
        return None
    return min(
        (number for number, entry in held.items() if not entry.is_wanted and entry.phase == "ready"), default=None
    )


def _to_load(held: Mapping[int, _Version]) -> int | None:
    return max((number for number, entry in held.items() if entry.is_wanted and entry.phase == "new"), default=None)


def _executor(n_threads: int, name: str) -> Executor | None:
    return ThreadPoolExecutor(n_threads, thread_name_prefix=name) if n_threads > 0 else None


def _bound(function: Callable[[str, int], None], name: str, version: int) -> Callable[[], None]:
    return lambda: function(name, version)

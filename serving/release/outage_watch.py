"""Notes in the audit log when the version that is to serve stops answering, and when it answers again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cxr_tasks.contracts.errors import CxrError
from cxr_tasks.installation.storage.files import read_json, write_json
from cxr_tasks.installation.storage.paths import served_root
from cxr_tasks.registry.audit import trail
from cxr_tasks.registry.outages import BEGAN, ENDED, outages
from serving.served.state import is_being_changed, read_state
from serving.served.version_folders import version_folder

LOOK_EVERY_S = 15.0
#: So many looks in a row find it away before that is an outage: a server that starts again is none.
LOOKS = 2
#: A gap between two looks after which nothing was watched, as the stack was down.
GAP = timedelta(seconds=90)
WATCHER = "watcher"
LAST_SEEN = "last_seen.json"


@dataclass(slots=True)
class OutageWatch:
    """One look after the other at what serves of each model; what it finds stands in the audit log.

    That a version was well is noted in ``served/<model>/last_seen.json``, so that a watcher that starts anew knows for
    how long nothing was watched.
    """

    models: Sequence[str]
    answering: Callable[[str], list[int]]
    """The versions of a model that answer now."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    away: dict[str, list[datetime]] = field(default_factory=dict)
    """Model -> the looks in a row that did not find it."""

    def look(self) -> None:
        """Look once at each model; one whose state cannot be read is left to ``cxr doctor``."""
        for model in self.models:
            try:
                if not is_being_changed(model):
                    self._look_at(model)
            except CxrError:
                continue

    def _look_at(self, model: str) -> None:
        version = read_state(model).stable
        if version is None:
            return
        now, is_well = self.now(), version in self.answering(model)
        told = outages(trail.entries(model))
        is_told = bool(told) and told[-1].until is None
        if is_well:
            gone = self.away.pop(model, [])
            last = _last_seen(model, version)
            if is_told:
                self._note(ENDED, model, version, "it answers again", until=now)
            elif not gone and last is not None and now - last > GAP:
                self._note(ENDED, model, version, "the stack was down, or nothing watched", since=last, until=now)
            write_json(_path(model), {"version": version, "at": now.isoformat(timespec="seconds")})
            return
        looks = self.away.setdefault(model, [])
        looks.append(now)
        if len(looks) >= LOOKS and not is_told:
            self._note(BEGAN, model, version, _why(model, version), since=_last_seen(model, version) or looks[0])

    def _note(self, kind: trail.Kind, model: str, version: int, why: str, **times: datetime) -> None:
        detail = {name: time.isoformat(timespec="seconds") for name, time in times.items()}
        trail.record(kind, model=model, version=version, who=WATCHER, why=why, detail=detail)


def _why(model: str, version: int) -> str:
    folder = version_folder(model, version)
    if not (folder / "saved_model.pb").is_file():
        return f"its folder {folder} is gone or not whole"
    return "the model server is down, or has not loaded it"


def _last_seen(model: str, version: int) -> datetime | None:
    if not _path(model).is_file():
        return None
    told = read_json(_path(model))
    return datetime.fromisoformat(told["at"]) if told.get("version") == version else None


def _path(model: str) -> Path:
    return served_root() / model / LAST_SEEN

"""``drift.json``: all that one look found, and the state that leads from one look to the next."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from cxr_tasks.contracts.shapes import build, plain
from cxr_tasks.installation.storage.files import read_json, write_json
from cxr_tasks.installation.storage.locks import file_lock
from cxr_tasks.installation.storage.paths import monitor_root
from cxr_tasks.monitor.drift import DriftRow
from cxr_tasks.monitor.estimate import Estimate
from cxr_tasks.monitor.looks import Episode

DRIFT_FILE, STATE_FILE = "drift.json", "state.json"
#: What a version is worth on labels that came back; written by the stage ``feedback``.
LIVE_FILE = "live.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """A number that the version was registered with, on its test split, and what is estimated for the window."""

    finding: str
    name: str
    promised: float | None
    promised_lower: float | None
    promised_upper: float | None
    promised_n: int
    estimate: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class LookRecord:
    """One look at one window."""

    format: int
    model_name: str
    version: int
    mlflow_run_id: str
    recipe: str
    day: str
    window_days: int
    """Days of the window that is shown: the one that drifts, else the longest that was looked at."""
    reference_version: int
    is_regular: bool
    """One of the daily looks that a year's chance of a false alarm is spent on; a look by hand raises no alarm."""
    verdict: str
    reason: str
    n_images: int
    n_again: int
    n_lost: int
    alpha: float
    rows: tuple[DriftRow, ...]
    promises: tuple[Promise, ...]
    has_statistics: bool
    """Whether the reference tells of the pictures themselves."""
    made_at: str

    @property
    def drifting(self) -> list[DriftRow]:
        return sorted((row for row in self.rows if row.drifts), key=lambda row: (row.adjusted_p, -abs(row.statistic)))

    @property
    def largest_psi(self) -> float:
        return max((row.psi for row in self.rows if row.psi is not None), default=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LookLine:
    """A look in the list of all."""

    day: str
    folder: str
    """Below ``monitor_root()``."""
    verdict: str
    n_images: int
    largest_psi: float
    names: tuple[str, ...]
    is_regular: bool
    auroc: float | None
    """Mean over findings, estimated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is known of one version from its looks so far."""

    model_name: str
    version: int
    mlflow_run_id: str
    episodes: tuple[Episode, ...] = ()
    looks: tuple[LookLine, ...] = ()
    """By day."""
    retrained_on: str = ""
    """The day whose alarm last started a training."""

    def last_regular_day(self, today: str) -> str:
        """Of those that are over; a clock that ran ahead for a while does not silence the looks until that day."""
        return max((look.day for look in self.looks if look.is_regular and look.day < today), default="")


def version_folder(model_name: str, version: int, mlflow_run_id: str) -> Path:
    """Of one version; numbers come again in a new registry, runs do not."""
    return monitor_root() / model_name / f"{version}-{mlflow_run_id[:8]}"


def read_state(model_name: str, version: int, mlflow_run_id: str) -> State:
    path = version_folder(model_name, version, mlflow_run_id) / STATE_FILE
    if not path.is_file():
        return State(model_name=model_name, version=version, mlflow_run_id=mlflow_run_id)
    return build(State, read_json(path), str(path))


def write_state(state: State) -> None:
    write_json(version_folder(state.model_name, state.version, state.mlflow_run_id) / STATE_FILE, plain(state))


def all_looks() -> AbstractContextManager[None]:
    """The lock under which states are read and written.

    Raises:
        ServiceUnavailable: Another look holds it for ten minutes.
    """
    return file_lock(monitor_root() / ".lock", what="what was seen of served models", purpose="a look", wait_s=600)

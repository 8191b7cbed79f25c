"""Stage prune: find what is old and needed by nothing, and remove it where asked to."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cxr_tasks.contracts.errors import ConfigurationError, ServiceUnavailable
from cxr_tasks.installation.storage.changes import remove_empty, remove_file, remove_tree
from cxr_tasks.installation.storage.fetched_folders import fetched_root, last_asked_for_s, remove_fetched
from cxr_tasks.installation.storage.locks import file_lock
from cxr_tasks.installation.storage.paths import home, inside
from cxr_tasks.prune.clock import clock_doubt
from cxr_tasks.prune.needed import needed_fetched_folders, needed_mlflow_runs, needed_run_folders
from cxr_tasks.registry import tracking

log = logging.getLogger(__name__)

Kind = Literal["runs", "logs", "comparisons", "lineage", "fetched", "mlflow runs"]
#: Kind -> the variable with the days that it is kept, and the days without it.
KEPT_DAYS: dict[Kind, tuple[str, int]] = {
    "runs": ("CXR_KEEP_RUNS_DAYS", 180),
    "logs": ("CXR_KEEP_LOGS_DAYS", 60),
    "comparisons": ("CXR_KEEP_COMPARISONS_DAYS", 365),
    "lineage": ("CXR_KEEP_LINEAGE_DAYS", 365),
    "fetched": ("CXR_KEEP_FETCHED_DAYS", 90),
    "mlflow runs": ("CXR_KEEP_MLFLOW_DAYS", 365),
}
_DAY_S = 86_400.0
_LOGS = (Path("airflow") / "logs", Path("stack") / "logs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Removable:
    """Something old that nothing needs."""

    kind: Kind
    name: str
    """Path below the run-time folder, or id of an MLflow run."""
    n_bytes: int
    age_days: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What was found, what was kept though it is old, and whether it was removed."""

    found: tuple[Removable, ...]
    n_kept_as_needed: int
    """Old runs that something kept refers to."""
    is_done: bool
    n_not_removed: int = 0
    """Of ``found`` that stays although it was to go: written to again since, or not to be removed; the log says why."""
    doubt: str = ""
    """Why the clock may be far ahead; nothing is removed then, unless it is said to be right."""


def kept_days(environment: Mapping[str, str]) -> dict[Kind, int]:
    """Kind -> days it is kept at least.

    Raises:
        ConfigurationError: A variable is no whole number of days from 1 to 36500.

    >>> kept_days({"CXR_KEEP_LOGS_DAYS": "14"})["logs"]
    14
    """
    days: dict[Kind, int] = {}
    for kind, (variable, usual) in KEPT_DAYS.items():
        text = environment.get(variable) or str(usual)
        if not (text.isdecimal() and 1 <= int(text) <= 36_500):
            raise ConfigurationError(f"{variable}={text}: expected a number of days, for example {usual}")
        days[kind] = int(text)
    return days


def prune(
    environment: Mapping[str, str], *, do: bool = False, now_s: float | None = None, is_clock_right: bool = False
) -> Pruned:
    """What is older than its days and needed by nothing; removed where ``do``.

    Runs of DAGs, logs, comparisons, days of lineage events and data folders of a store that no ingest asked for are
    deleted. MLflow runs without a version are put into
    MLflow's trash, out of which ``mlflow gc`` takes them for good. Datasets, versions, reports, exports, predictions
    and labels are never touched here.

    Args:
        is_clock_right: Remove also where the clock may be far ahead (:func:`clock_doubt`).

    Raises:
        ServiceUnavailable: MLflow does not answer: nothing can be known to be unneeded then, and nothing is removed.
    """
    days, now_s = kept_days(environment), time.time() if now_s is None else now_s
    with file_lock(home() / ".prune.lock", what=str(home()), purpose="pruning", wait_s=0):
        needed = needed_run_folders()
        runs = _aged(sorted((home() / "runs").glob("*")), now_s)
        logs = _aged([path for folder in _LOGS for path in (home() / folder).rglob("*") if path.is_file()], now_s)
        doubt = (
            "" if is_clock_right else clock_doubt((now_s - thing.age_days * _DAY_S for thing in (*runs, *logs)), now_s)
        )
        old_runs = _old("runs", runs, days["runs"])
        removable = [run for run in old_runs if Path(run.name).name not in needed]
        n_needed = len(old_runs) - len(removable)
        removable += _old("logs", logs, days["logs"])
        comparisons = _aged(sorted((home() / "comparisons").glob("*/*.json")), now_s)
        removable += _old("comparisons", comparisons, days["comparisons"])
        removable += _old("lineage", _aged(sorted((home() / "lineage" / "events").glob("*")), now_s), days["lineage"])
        removable += _old_fetched(days["fetched"], now_s, needed_fetched_folders(environment))
        removable += _old_mlflow_runs(days["mlflow runs"], now_s)
        do = do and not doubt
        n_stay = sum(not _remove(thing, days[thing.kind], now_s) for thing in removable) if do else 0
        if do:
            _remove_empty_folders()
    return Pruned(found=tuple(removable), n_kept_as_needed=n_needed, is_done=do, n_not_removed=n_stay, doubt=doubt)


@dataclass(frozen=True, slots=True)
class _Aged:
    path: Path
    age_days: float
    n_bytes: int


def _aged(paths: list[Path], now_s: float) -> list[_Aged]:
    """Days since anything in each of ``paths`` was written, and bytes; links are left alone."""
    measured = ((path, _age_and_size(path, now_s)) for path in paths if not path.is_symlink())
    return [_Aged(path, *measure) for path, measure in measured if measure is not None]


def _old(kind: Kind, things: list[_Aged], days: int) -> list[Removable]:
    """Those in which nothing was written for so long."""
    return [
        Removable(
            kind=kind, name=thing.path.relative_to(home()).as_posix(), n_bytes=thing.n_bytes, age_days=thing.age_days
        )
        for thing in things
        if thing.age_days > days
    ]


def _age_and_size(path: Path, now_s: float) -> tuple[float, int] | None:
    """Days since anything below ``path`` was written, and bytes; None where something goes while it is looked at."""
    newest, n_bytes = -math.inf, 0
    try:
        for part in [path] if path.is_file() else [path, *path.rglob("*")]:
            stat = part.lstat()
            newest, n_bytes = max(newest, stat.st_mtime), n_bytes + stat.st_size
    except FileNotFoundError:
        # Whoever removes is at work there: a training puts its files into place by new names.
        return None
    return (now_s - newest) / _DAY_S, n_bytes


def _old_fetched(days: int, now_s: float, needed: set[str]) -> Iterator[Removable]:
    """Fetched data folders that no ingest asked for so long, and that none is about to read."""
    for path in sorted(fetched_root().glob("*")):
        if path.is_symlink() or not path.is_dir() or path.name in needed:
            continue
        age, measure = (now_s - last_asked_for_s(path)) / _DAY_S, _age_and_size(path, now_s)
        if age > days and measure is not None:
            name = path.relative_to(home()).as_posix()
            yield Removable(kind="fetched", name=name, n_bytes=measure[1], age_days=age)


def _old_mlflow_runs(days: int, now_s: float) -> Iterator[Removable]:
    """Ended runs without a version, and without a child that has one."""
    needed, client = needed_mlflow_runs(), tracking.client()
    with tracking.outside_failures("MLflow"):
        for experiment in client.search_experiments():
            token = None
            while True:
                page = client.search_runs([experiment.experiment_id], max_results=1000, page_token=token)
                for run in page:
                    ended = run.info.end_time
                    if run.info.run_id in needed or not ended or run.info.status == "RUNNING":
                        continue
                    age = (now_s - ended / 1000) / _DAY_S
                    if age > days:
                        yield Removable(kind="mlflow runs", name=run.info.run_id, n_bytes=0, age_days=age)
                token = page.token
                if not token:
                    break


def _remove(thing: Removable, days: int, now_s: float) -> bool:
    """Whether it went. What cannot be removed is told, and the others go on."""
    if thing.kind == "mlflow runs":
        with tracking.outside_failures("MLflow"):
            tracking.client().delete_run(thing.name)
        return True
    path = home() / thing.name
    if not inside(home(), path):
        log.warning("%s leads out of %s and stays", path, home())
        return False
    if thing.kind == "fetched":
        return _remove_fetched(path, now_s - days * _DAY_S)
    measure = _age_and_size(path, now_s)
    if measure is None or measure[0] <= days:
        # A run that was cleared in Airflow and goes on; finding all that is old takes minutes.
        log.warning("%s was written to since it was found to be old, and stays", path)
        return False
    try:
        if path.is_dir():
            remove_tree(path)
        else:
            remove_file(path)
    except OSError as error:
        log.warning("%s cannot be removed and stays: %s", path, error)
        return False
    return True


def _remove_fetched(path: Path, before_s: float) -> bool:
    try:
        if remove_fetched(path, before_s):
            return True
        log.warning("%s was asked for since it was found to be old, and stays", path)
    except (OSError, ServiceUnavailable) as error:
        log.warning("%s cannot be removed and stays: %s", path, error)
    return False


def _remove_empty_folders() -> None:
    for folder in _LOGS:
        for path in sorted((home() / folder).rglob("*"), reverse=True):
            if path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
                # Not where a task has begun a log there since.
                with contextlib.suppress(OSError):
                    remove_empty(path)

"""Stage prune: find what is old and needed by nothing, and remove it where asked to."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.installation.storage.changes import remove_file, remove_tree
from cxr_tasks.installation.storage.locks import file_lock
from cxr_tasks.installation.storage.paths import home, inside
from cxr_tasks.prune.needed import needed_mlflow_runs, needed_run_folders
from cxr_tasks.registry import tracking

log = logging.getLogger(__name__)

Kind = Literal["runs", "logs", "comparisons", "mlflow runs"]
#: Kind -> the variable with the days that it is kept, and the days without it.
KEPT_DAYS: dict[Kind, tuple[str, int]] = {
    "runs": ("CXR_KEEP_RUNS_DAYS", 180),
    "logs": ("CXR_KEEP_LOGS_DAYS", 60),
    "comparisons": ("CXR_KEEP_COMPARISONS_DAYS", 365),
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


def kept_days(environment: Mapping[str, str]) -> dict[Kind, int]:
    """Kind -> days it is kept at least.

    Raises:
        ConfigurationError: A variable is no whole number of days from 1 to 36500.

    >>> kept_days({"CXR_KEEP_LOGS_DAYS": "14"})["logs"]
    14
    """
    found: dict[Kind, int] = {}
    for kind, (variable, usual) in KEPT_DAYS.items():
        text = environment.get(variable) or str(usual)
        if not (text.isdecimal() and 1 <= int(text) <= 36_500):
            raise ConfigurationError(f"{variable}={text}: expected a number of days, for example {usual}")
        found[kind] = int(text)
    return found


def prune(environment: Mapping[str, str], *, do: bool = False, now_s: float | None = None) -> Pruned:
    """What is older than its days and needed by nothing; removed where ``do``.

    Runs of DAGs, logs and comparisons are deleted. MLflow runs without a version are put into MLflow's trash, out of
    which ``mlflow gc`` takes them for good. Datasets, versions, reports, exports, predictions and labels are never
    touched here.

    Raises:
        ServiceUnavailable: MLflow does not answer: nothing can be known to be unneeded then, and nothing is removed.
    """
    days, now_s = kept_days(environment), time.time() if now_s is None else now_s
    with file_lock(home() / ".prune.lock", what=str(home()), purpose="pruning", wait_s=0):
        needed = needed_run_folders()
        found, n_needed = [], 0
        for one in _old("runs", sorted((home() / "runs").glob("*")), days["runs"], now_s):
            if Path(one.name).name in needed:
                n_needed += 1
            else:
                found.append(one)
        logs = [path for folder in _LOGS for path in sorted((home() / folder).rglob("*")) if path.is_file()]
        found += _old("logs", logs, days["logs"], now_s)
        found += _old("comparisons", sorted((home() / "comparisons").glob("*/*.json")), days["comparisons"], now_s)
        found += _old_mlflow_runs(days["mlflow runs"], now_s)
        if do:
            for one in found:
                _remove(one)
            _remove_empty_folders()
    return Pruned(found=tuple(found), n_kept_as_needed=n_needed, is_done=do)


def _old(kind: Kind, paths: list[Path], days: int, now_s: float) -> Iterator[Removable]:
    """Those of ``paths`` in which nothing was written for so long; links are left alone."""
    for path in paths:
        if path.is_symlink():
            continue
        files = [path] if path.is_file() else [path, *path.rglob("*")]
        stats = [one.lstat() for one in files]
        age = (now_s - max(one.st_mtime for one in stats)) / _DAY_S
        if age > days:
            name = path.relative_to(home()).as_posix()
            yield Removable(kind=kind, name=name, n_bytes=sum(one.st_size for one in stats), age_days=age)


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


def _remove(one: Removable) -> None:
    if one.kind == "mlflow runs":
        with tracking.outside_failures("MLflow"):
            tracking.client().delete_run(one.name)
        return
    path = home() / one.name
    if not inside(home(), path):
        log.warning("%s leads out of %s and stays", path, home())
        return
    if path.is_dir():
        remove_tree(path)
    else:
        remove_file(path)


def _remove_empty_folders() -> None:
    for folder in _LOGS:
        for path in sorted((home() / folder).rglob("*"), reverse=True):
            if path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
                path.rmdir()

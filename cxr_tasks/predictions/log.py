"""The prediction log on disk: ``<model>/<day>/<time>-<process>.parquet`` below ``var/predictions``, for the owner only.

Each file is written aside and renamed, so that a reader sees whole files. Small ones of a day are put together as they
grow many; what is older or larger in all than the bounds goes, the oldest day first.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.installation.storage.changes import remove_file, remove_tree
from cxr_tasks.installation.storage.files import replaced_file
from cxr_tasks.installation.storage.paths import home
from cxr_tasks.installation.storage.tables import table_in
from cxr_tasks.predictions.columns import LOG_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

VARIABLE, DAYS_VARIABLE, MIB_VARIABLE = "CXR_PREDICTION_LOG", "CXR_PREDICTION_LOG_DAYS", "CXR_PREDICTION_LOG_MIB"
#: A year of daily looks and a month besides.
USUAL_DAYS, USUAL_MIB = 400, 1024
#: So many files smaller than ``SMALL_BYTES`` of one day are put together.
MOST_SMALL, SMALL_BYTES = 48, 4 << 20
#: So many later days with rows make a day old, beside the clock: one that is far ahead for a while makes a few.
LATER_DAYS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class LogBounds:
    """How much of one model's log is kept."""

    days: int = USUAL_DAYS
    max_bytes: int = USUAL_MIB << 20


def predictions_root() -> Path:
    """The log of all models; a row tells of a patient's picture by numbers only."""
    return home() / "predictions"


def model_folder(model: str, root: Path | None = None) -> Path:
    return (root or predictions_root()) / quote(model, safe="")


def bounds_of(environment: Mapping[str, str]) -> LogBounds | None:
    """What the environment asks for; None where ``CXR_PREDICTION_LOG`` is ``off``.

    Raises:
        ConfigurationError: It is neither ``on`` nor ``off``, or a bound is no whole number above 0.

    >>> bounds_of({"CXR_PREDICTION_LOG_DAYS": "30"})
    LogBounds(days=30, max_bytes=1073741824)
    """
    word = environment.get(VARIABLE) or "on"
    if word not in ("on", "off"):
        raise ConfigurationError(f"{VARIABLE}={word}: expected on or off")
    numbers = {}
    for variable, usual in ((DAYS_VARIABLE, USUAL_DAYS), (MIB_VARIABLE, USUAL_MIB)):
        text = environment.get(variable) or str(usual)
        if not (text.isdecimal() and 0 < int(text) < 10**7):
            raise ConfigurationError(f"{variable}={text}: expected a whole number above 0, for example {usual}")
        numbers[variable] = int(text)
    if word == "off":
        return None
    return LogBounds(days=numbers[DAYS_VARIABLE], max_bytes=numbers[MIB_VARIABLE] << 20)


def append_rows(rows: Sequence[Mapping[str, Any]], root: Path | None = None) -> None:
    """Write rows (keys: ``LOG_COLUMNS`` and those of findings) as files of their model and day.

    Small files that cannot be put together stay as they are, with a word in the log: their rows are written.

    Raises:
        OSError: The disk does not take them.
    """
    import pandas as pd

    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((str(row["model"]), f"{row['time']:%Y-%m-%d}"), []).append(row)
    for (model, day), some in groups.items():
        folder = model_folder(model, root) / day
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(pd.DataFrame(some), folder)
        try:
            _put_together(folder)
        except OSError as error:
            log.warning("%s: its small files are not put together: %s", folder, error)


def remove_old(model: str, bounds: LogBounds, today: date, root: Path | None = None) -> list[Path]:
    """Remove days beyond the bounds, the oldest first, never today's; the folders removed.

    A day is too old by the clock and by ``LATER_DAYS`` later days with rows (or the bound's days, where fewer).
    """
    folder = model_folder(model, root)
    days = days_of(folder)
    sizes = {day: sum(file.stat().st_size for file in path.iterdir()) for day, path in days.items()}
    total, removed = sum(sizes.values()), []
    for n_later, day in zip(range(len(days) - 1, -1, -1), sorted(days), strict=True):
        is_old = day < today - timedelta(days=bounds.days) and n_later >= min(LATER_DAYS, bounds.days)
        if day >= today or (total <= bounds.max_bytes and not is_old):
            continue
        remove_tree(days[day])
        total -= sizes[day]
        removed.append(days[day])
    return removed


def days_of(folder: Path) -> dict[date, Path]:
    """Day -> its folder; whatever else lies there is left out."""
    folders = {}
    for path in folder.iterdir() if folder.is_dir() else ():
        try:
            folders[date.fromisoformat(path.name)] = path
        except ValueError:
            continue
    return folders


def read_log(model: str, first: date, last: date, root: Path | None = None) -> pd.DataFrame:
    """All rows of the days ``first`` to ``last``, both included, by time; empty where there are none.

    A file that cannot be read is named in the log and left out: a day's other rows still tell.
    """
    import pandas as pd

    tables = []
    for day, folder in sorted(days_of(model_folder(model, root)).items()):
        if first <= day <= last:
            while (of_day := _read(_files(folder))) is None:
                # Files were put together since the folder was listed: their rows are in another now.
                log.info("%s changed while it was read; it is read anew", folder)
            tables += list(of_day.values())
    if not tables:
        return pd.DataFrame()
    table = pd.concat(tables, ignore_index=True)
    # A process that is killed between putting files together and removing them leaves rows twice. A client may give
    # many requests one id: it is the time that tells them apart.
    table = table.drop_duplicates(["time", "request_id", "image"])
    return table.sort_values("time", kind="stable").reset_index(drop=True)


def _files(folder: Path) -> list[Path]:
    """Whole files; one that is being written, or was when its writer was killed, has a name that starts with a dot."""
    return sorted(folder.glob("[!.]*.parquet"))


def _read(paths: list[Path]) -> dict[Path, pd.DataFrame] | None:
    """The tables that can be read; None where a file is gone."""
    tables = {}
    for path in paths:
        try:
            table = table_in(path.read_bytes(), path, "rows of the log")
        except FileNotFoundError:
            if not path.is_symlink():
                return None
            log.warning("%s is left out: it is a link to nothing", path)
            continue
        except DataDefect as defect:
            log.warning("%s; it is left out", defect)
            continue
        except OSError as error:
            log.warning("%s is left out: the system cannot read it: %s", path, error.strerror)
            continue
        if missing := [name for name in LOG_COLUMNS if name not in table]:
            log.warning("%s is no file of the log and is left out: it lacks %s", path, ", ".join(missing[:3]))
            continue
        tables[path] = table
    return tables


def image_of_requests(rows: pd.DataFrame) -> dict[str, str]:
    """Request id -> pixel hash, of rows of the log; '' where one id is of several pictures."""
    pairs = rows[["request_id", "pixel_hash"]].drop_duplicates()
    is_one = ~pairs["request_id"].duplicated(keep=False)
    return dict(zip(pairs["request_id"], pairs["pixel_hash"].where(is_one, ""), strict=True))


def _write(table: pd.DataFrame, folder: Path) -> None:
    for name in map(str, table.columns):
        if name.startswith("probability_") or name == "typicality":
            table[name] = table[name].astype("float32")
    name = f"{datetime.now(UTC):%H%M%S.%f}-{os.getpid()}.parquet"
    # The log may lie elsewhere than the run-time folder; its files are for the owner there too.
    with replaced_file(folder / name, is_private=True) as aside:
        table.to_parquet(aside, index=False, compression="zstd")


def _put_together(folder: Path) -> None:
    import pandas as pd

    small = [path for path in _files(folder) if path.stat().st_size < SMALL_BYTES]
    if len(small) <= MOST_SMALL:
        return
    tables = _read(small)
    # Gone: another writer puts them together. One alone: the others cannot be read, and stay.
    if tables is None or len(tables) < 2:
        return
    _write(pd.concat(list(tables.values()), ignore_index=True), folder)
    for path in tables:
        remove_file(path)

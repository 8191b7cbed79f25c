"""Daily looks over a year: how much false alarm each may take, and when an alarm begins and ends.

Each look spends the same part of a year's chance of a false alarm, on two windows: the last day alone, which tells a
sudden change at once where many images come, and the last days together, which tell a small one. By Bonferroni's
inequality the chance of any false alarm in ``LOOKS_A_YEAR`` looks is at most ``ALPHA_A_YEAR``, however the looks hang
together (windows overlap, and all are held against the same reference). It holds of patients who come as often as in
the reference (:attr:`~cxr_tasks.monitor.reference.Reference.worth`).

Source: group sequential tests by a spending function that grows evenly, Lan & DeMets, Biometrika 70:659-663 (1983);
without their use of the joint distribution of the looks, which is not known here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta

import pandas as pd

from cxr_tasks.monitor.drift import MIN_IMAGES, Drift, drift_of
from cxr_tasks.monitor.reference import Reference

ALPHA_A_YEAR = 0.05
LOOKS_A_YEAR = 365
WINDOW_DAYS = 7
#: So many looks in a row without drift end an episode.
QUIET_LOOKS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """From the look that raised the alarm to the one that ended it; one message is sent for each."""

    since: str
    until: str = ""
    names: tuple[str, ...] = ()
    n_quiet: int = 0
    is_told: bool = True
    """False until the alarm's message is sent: a task that broke off before it is tried again, and tells then."""

    @property
    def is_open(self) -> bool:
        return not self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one day's look found: the windows that hold enough images, the shortest first."""

    day: date
    windows: tuple[tuple[int, Drift], ...]
    """Days and comparison."""

    @property
    def told(self) -> tuple[int, Drift]:
        """The window to show: the one that drifts, else the longest."""
        return next((window for window in self.windows if window[1].verdict == "drift"), self.windows[-1])

    @property
    def drifts(self) -> bool:
        return any(report.verdict == "drift" for _, report in self.windows)


def look(
    reference: Reference, rows_since: Callable[[date], pd.DataFrame], day: date, window_days: int = WINDOW_DAYS
) -> Look:
    """The look at the end of ``day``.

    Args:
        rows_since: What was served from a day on to the end of ``day``, one row per picture.
    """
    lengths = sorted({1, window_days})
    alpha = ALPHA_A_YEAR / LOOKS_A_YEAR / len(lengths)
    windows = []
    for n_days in lengths:
        served = rows_since(day - timedelta(days=n_days - 1))
        if len(served) >= MIN_IMAGES or n_days == lengths[-1]:
            windows.append((n_days, drift_of(reference, served, alpha)))
    return Look(day=day, windows=tuple(windows))


def after(episode: Episode | None, looked: Look) -> tuple[Episode | None, bool]:
    """The episode as it is after a look, and whether this look began it. A look with too few images changes nothing.

    Looks are to be given once for each day, in order.
    """
    if looked.drifts:
        names = tuple(deviation.name for deviation in looked.told[1].drifting)
        if episode is None or not episode.is_open:
            return Episode(since=looked.day.isoformat(), names=names, is_told=False), True
        return replace(episode, names=tuple(dict.fromkeys((*episode.names, *names))), n_quiet=0), False
    if episode is None or not episode.is_open or looked.told[1].verdict == "too few":
        return episode, False
    quiet = replace(episode, n_quiet=episode.n_quiet + 1)
    return (replace(quiet, until=looked.day.isoformat()) if quiet.n_quiet >= QUIET_LOOKS else quiet), False

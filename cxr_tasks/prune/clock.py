"""Whether the clock can be trusted with what is to be removed: one that is far ahead makes everything old at once."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import UTC, datetime

_DAY_S = 86_400.0
#: So long without anything written is no night and no holiday: the platform stood still, or the clock leapt.
LONGEST_PAUSE_DAYS = 60
#: A clock that has gone on for so long after a leap is somebody's clock.
SETTLED_DAYS = 14


def clock_doubt(written_s: Iterable[float], now_s: float) -> str:
    """Why the clock may be far ahead, and what to do; '' where nothing speaks for it.

    It may be where for ``LONGEST_PAUSE_DAYS`` nothing was written, and then again only since a few days, or not yet: a
    platform that stood still looks the same, and a person knows which it was.

    Args:
        written_s: When logs and runs were written last, in seconds since 1970; later ones than now are left out.

    >>> clock_doubt([0.0, 90.0], 100.0)
    ''
    """
    times = sorted(time_s for time_s in written_s if time_s <= now_s)
    for before, after in itertools.pairwise((*times, now_s) if times else ()):
        if after - before > LONGEST_PAUSE_DAYS * _DAY_S and now_s - after < SETTLED_DAYS * _DAY_S:
            return (
                f"the clock says {_day(now_s)}, and between {_day(before)} and {_day(after)} nothing was written: it "
                "may be far ahead, and then nothing is as old as it looks. Nothing is removed; set it right, or, where "
                f"the platform only stood still, 'cxr prune --yes --clock-is-right'. {SETTLED_DAYS} days after the "
                "pause it is taken as right"
            )
    return ""


def _day(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"

"""False alarms in undrifted years, and what it takes to see a change: by simulation, on the monitor's own functions.

    .venv/bin/python -m tests.benchmarks.monitoring [YEARS] [REPEATS]

Minutes to hours, so no part of ``make bench``. A year is undrifted when every image is drawn as the reference's were;
each year has a reference of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import pandas as pd

from cxr_tasks.monitor.looks import LOOKS_A_YEAR, Look
from cxr_tasks.statistics.intervals import wilson
from tests.monitor.test_drift import DAY, year

CHANGES = {
    "contrast": "contrast falls by 20 %",
    "machine": "a machine that frames otherwise",
    "prevalence": "prevalence doubled",
    "inverted": "pictures inverted",
    "line": "a dead row of the detector",
}
A_DAY = (40, 120, 400)
BEGINS, LONGEST = 20, 30


def alarms(n_years: int, a_day: int) -> int:
    """Of so many undrifted years those with any alarm."""
    n = 0
    for number in range(n_years):
        looks = year(np.random.default_rng([7, a_day, number]), a_day=a_day)
        n += any(one.drifts for one in looks)
        print(f"year {number + 1}: {n} with an alarm so far", file=sys.stderr, flush=True)
    return n


def delays(change: str, a_day: int, repeats: int) -> Iterator[tuple[float, float]]:
    """Days and images from the change to the alarm; infinite where none came in ``LONGEST`` days."""
    for number in range(repeats):
        looks: list[Look] = year(
            np.random.default_rng([11, a_day, number]), BEGINS, change, n_days=BEGINS + LONGEST, a_day=a_day
        )
        days = next(((one.day - DAY).days - BEGINS + 1 for one in looks if one.drifts), None)
        yield (np.inf, np.inf) if days is None or days < 1 else (days, days * a_day)


def main() -> None:
    n_years, repeats = (int(one) for one in (*sys.argv[1:], "20", "20")[:2])
    rows = []
    for change, words in CHANGES.items():
        for a_day in A_DAY:
            found = np.array(list(delays(change, a_day, repeats)))
            rows.append([words, a_day, np.isfinite(found[:, 0]).mean(), *np.median(found, axis=0), found[:, 0].max()])
    names = ["change", "images a day", "found in 30 days", "days, median", "images, median", "days, most"]
    print(pd.DataFrame(rows, columns=names).to_string(index=False), flush=True)
    n = alarms(n_years, A_DAY[1])
    found = wilson(n, n_years, 0.95)
    print(
        f"undrifted years of {LOOKS_A_YEAR} looks at {A_DAY[1]} images a day: {n} of {n_years} with an alarm "
        f"({found.lower:.1%} to {found.upper:.1%})"
    )


if __name__ == "__main__":
    main()

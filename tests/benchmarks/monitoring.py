"""False alarms in undrifted years, and what it takes to see a change: by simulation, on the monitor's own functions.

    .venv/bin/python -m tests.benchmarks.monitoring [YEARS] [REPEATS]

Minutes to hours, so no part of ``make bench``. A year is undrifted when every image is drawn as the reference's were;
each year has a reference of its own. In one world a patient has one or two images, in the other as many as in NIH
ChestX-ray14, all of them alike: the reference's rows are worth fewer there, and less is found.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator
from datetime import timedelta

import numpy as np
import pandas as pd

from cxr_tasks.monitor.looks import LOOKS_A_YEAR, WINDOW_DAYS, Look, look
from cxr_tasks.monitor.reference import Reference
from cxr_tasks.statistics.intervals import wilson
from tests.monitor.test_drift import DAY
from tests.monitor.worlds import by_patient, drawn, reference, reference_to

CHANGES = {
    "contrast": "contrast falls by 20 %",
    "machine": "a machine that frames otherwise",
    "prevalence": "prevalence doubled",
    "inverted": "pictures inverted",
    "line": "a dead row of the detector",
}
A_DAY = (40, 120, 400)
LONGEST = 30
Rng = np.random.Generator
#: In words -> a reference, and the images of a day.
WORLDS: dict[str, tuple[Callable[[Rng], Reference], Callable[[Rng, int, str], pd.DataFrame]]] = {
    "1.25 images a patient": (
        lambda rng: reference(int(rng.integers(1 << 30))),
        drawn,
    ),
    "as in NIH ChestX-ray14": (
        lambda rng: reference_to(*by_patient(rng, 20_000)),
        lambda rng, n, change: by_patient(rng, n, change=change)[0],
    ),
}


def looks_of(world: str, rng: Rng, a_day: int, n_days: int, change: str = "", begins: int = 0) -> Iterator[Look]:
    """The daily looks of a year in which ``change`` begins on day ``begins``."""
    make_reference, make_day = WORLDS[world]
    profile, week = make_reference(rng), deque[pd.DataFrame](maxlen=WINDOW_DAYS)
    for number in range(n_days):
        day = DAY + timedelta(days=number)
        week.append(make_day(rng, int(rng.poisson(a_day)), change if number >= begins else ""))
        yield look(profile, lambda first, day=day: pd.concat(list(week)[-(day - first).days - 1 :]), day)


def alarms(world: str, n_years: int, a_day: int) -> int:
    """Of so many undrifted years those with any alarm."""
    n = 0
    for number in range(n_years):
        n += any(one.drifts for one in looks_of(world, np.random.default_rng([7, a_day, number]), a_day, LOOKS_A_YEAR))
        print(f"year {number + 1}: {n} with an alarm so far", file=sys.stderr, flush=True)
    return n


def delays(world: str, change: str, a_day: int, repeats: int) -> Iterator[tuple[float, float]]:
    """Days and images from the change to the alarm; infinite where none came in ``LONGEST`` days."""
    before = WINDOW_DAYS  # so many undrifted days fill the window
    for number in range(repeats):
        rng = np.random.default_rng([11, a_day, number])
        looks = looks_of(world, rng, a_day, before + LONGEST, change, before)
        days = next(((one.day - DAY).days - before + 1 for one in looks if one.drifts), None)
        yield (np.inf, np.inf) if days is None or days < 1 else (days, days * a_day)


def main() -> None:
    n_years, repeats = (int(one) for one in (*sys.argv[1:], "20", "20")[:2])
    names = ["change", "images a day", "found in 30 days", "days, median", "images, median", "days, most"]
    for world in WORLDS:
        rows = []
        for change, words in CHANGES.items():
            for a_day in A_DAY:
                found = np.array(list(delays(world, change, a_day, repeats)))
                rows.append(
                    [words, a_day, np.isfinite(found[:, 0]).mean(), *np.median(found, axis=0), found[:, 0].max()]
                )
                print(rows[-1], file=sys.stderr, flush=True)
        print(
            f"{world}, {repeats} draws:", pd.DataFrame(rows, columns=names).to_string(index=False), sep="\n", flush=True
        )
    for world in WORLDS if n_years else ():
        n = alarms(world, n_years, A_DAY[1])
        found = wilson(n, n_years, 0.95)
        print(
            f"{world}: undrifted years of {LOOKS_A_YEAR} looks at {A_DAY[1]} images a day: {n} of {n_years} with an "
            f"alarm ({found.lower:.1%} to {found.upper:.1%})", flush=True,
        )  # fmt: skip


if __name__ == "__main__":
    main()

"""What is found, after how many days, and how seldom something is found where nothing has changed."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from cxr_tasks.monitor.drift import drift_of
from cxr_tasks.monitor.looks import ALPHA_A_YEAR, LOOKS_A_YEAR, QUIET_LOOKS, Episode, Look, after, look
from tests.monitor.worlds import by_patient, drawn, reference, reference_to

DAY = date(2026, 1, 1)
#: A place that sends this many images a day.
A_DAY = 120


def year(rng, first: int = 0, change: str = "", n_days: int = LOOKS_A_YEAR, a_day: int = A_DAY) -> list[Look]:
    """The looks of a year that is undrifted up to day ``first``, from two days before it on."""
    days = [drawn(rng, rng.poisson(a_day), change if change and n >= first else "") for n in range(n_days)]
    profile = reference(int(rng.integers(1 << 30)))

    def rows_since(n: int):
        return lambda begin: pd.concat(days[max(0, (begin - DAY).days) : n + 1])

    return [look(profile, rows_since(n), DAY + timedelta(days=n)) for n in range(max(first - 2, 0), n_days)]


def test_an_undrifted_year_raises_no_alarm():
    """The beginning of one here; ``monitoring.py`` of the benchmarks counts hundreds."""
    looks = year(np.random.default_rng(11), n_days=40)
    assert [one.day for one in looks if one.drifts] == []
    assert all(one.told[1].verdict == "none" for one in looks[3:])


@pytest.mark.parametrize(
    ("change", "names", "most_days"),
    [
        ("contrast", {"deviation"}, 3),
        ("machine", {"border_fraction", "aspect"}, 2),
        ("inverted", {"mean", "inverted_suspected"}, 2),
        ("line", {"line_suspected"}, 2),
        ("prevalence", {"share called pneumonia"}, 8),
    ],
)
def test_a_change_on_day_20_is_found(change, names, most_days):
    looks = year(np.random.default_rng(5), 20, change, n_days=28)
    found = [(one.day - DAY).days for one in looks if one.drifts]
    assert found and 20 <= found[0] < 20 + most_days
    named = {row.name for one in looks if one.drifts for row in one.told[1].drifting}
    assert names <= named


def test_a_busy_place_learns_of_a_change_on_its_first_day():
    looks = year(np.random.default_rng(6), 10, "inverted", n_days=12, a_day=400)
    assert next((one.day - DAY).days for one in looks if one.drifts) == 10
    assert next(one for one in looks if one.drifts).told[0] == 1  # the window of one day


def test_patients_of_whom_many_images_come_raise_no_alarm():
    """As many images of each as in NIH ChestX-ray14: weeks of 700 images that are worth some 70."""
    n_weeks, alarms = 60, 0
    for seed in range(6):
        rng = np.random.default_rng([3, seed])
        profile = reference_to(*by_patient(rng, 3000))
        weeks = (by_patient(rng, 700)[0] for _ in range(n_weeks // 6))
        alarms += sum(bool(drift_of(profile, week, ALPHA_A_YEAR / LOOKS_A_YEAR).drifting) for week in weeks)
    assert alarms == 0


def test_too_few_images_say_nothing():
    found = drift_of(reference(), drawn(np.random.default_rng(1), 199, "inverted"), 0.05)
    assert (found.verdict, found.rows) == ("too few", ())
    assert "199" in found.reason and "200" in found.reason


def test_a_difference_beyond_chance_that_is_small_is_no_drift():
    rng = np.random.default_rng(2)
    table = drawn(rng, 30_000)
    table["mean"] += 0.006  # a tenth of its deviation
    row = next(one for one in drift_of(reference(n=20_000), table, 0.05).rows if one.name == "mean")
    assert row.adjusted_p < 1e-6 and not row.drifts


def test_a_look_spends_its_part_of_the_year():
    (window,) = look(reference(), lambda _: drawn(np.random.default_rng(3), 300), DAY, window_days=1).windows
    assert window[1].alpha == ALPHA_A_YEAR / LOOKS_A_YEAR


def looked(n: int, verdict: str) -> Look:
    profile, rng = reference(), np.random.default_rng(4)
    table = drawn(rng, 50 if verdict == "too few" else 400, "inverted" if verdict == "drift" else "")
    return look(profile, lambda _: table, DAY + timedelta(days=n), window_days=1)


def test_an_episode_is_told_of_once_and_ends_after_quiet_looks():
    verdicts = ["none", "drift", "drift", "too few", "none", "drift", *["none"] * QUIET_LOOKS, "drift"]
    episode: Episode | None = None
    begun, states = [], []
    for number, verdict in enumerate(verdicts):
        episode, is_new = after(episode, looked(number, verdict))
        begun.append(is_new)
        states.append(bool(episode and episode.is_open))
    assert [number for number, is_new in enumerate(begun) if is_new] == [1, 9]
    assert states == [False, True, True, True, True, True, True, True, False, True]

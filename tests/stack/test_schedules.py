"""Cron expressions of the environment."""

from __future__ import annotations

import pytest

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.stack.schedules import CRON_VARIABLES, PRESETS, check_schedules, cron_of


@pytest.mark.parametrize("text", ["0 6 * * 1", "*/5 * * * *", "0 0 29 2 *", "15 14 1 JAN,JUL MON-FRI", "@weekly", ""])
def test_schedule_that_comes_is_taken(text: str):
    assert cron_of({"CXR_REPORT_CRON": text}, "CXR_REPORT_CRON") == text


@pytest.mark.parametrize(
    "text",
    [
        "0 25 * * *",       # no such hour
        "every monday",     # no cron
        "0 6 * *",          # four fields
        "0 0 6 * * 1",      # six: the sixth would be seconds
        "0 0 30 2 *",       # a day that never comes
        "0 6 * * 1#9",      # no ninth Monday
        "@sometimes",
        "* * * * x",
        "   ",
        "*/0 * * * *",
        "-1 * * * *",
    ],
)  # fmt: skip
@pytest.mark.parametrize("variable", CRON_VARIABLES)
def test_schedule_that_never_comes_is_refused_with_its_variable(variable: str, text: str):
    with pytest.raises(ConfigurationError, match=f"{variable}=.*expected five fields"):
        check_schedules({variable: text})


def test_presets_are_those_of_airflow():
    dates = pytest.importorskip("airflow.utils.dates")
    assert set(PRESETS) == set(dates.cron_presets)

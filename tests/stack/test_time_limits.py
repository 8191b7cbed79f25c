"""How long tasks and runs may take."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.stack.time_limits import LIMITS, check_time_limits, run_limit, task_limit


@pytest.mark.parametrize("kind", LIMITS)
def test_each_kind_has_its_variable(kind: str):
    variable, usual = LIMITS[kind]
    assert task_limit({}, kind) == timedelta(hours=usual)
    assert task_limit({variable: "0.5"}, kind) == timedelta(minutes=30)
    assert run_limit({variable: "2"}, kind) > task_limit({variable: "2"}, kind)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "a day", "9000", "1h"])
@pytest.mark.parametrize("kind", LIMITS)
def test_what_is_no_number_of_hours_is_refused(kind: str, text: str):
    variable = LIMITS[kind][0]
    with pytest.raises(ConfigurationError, match=f"{variable}={text}: expected a number of hours"):
        check_time_limits({variable: text})

"""How long a task and a run may take: settings of the environment. What hangs is ended, and told by name."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from cxr_tasks.installation.hours import hours_of

#: Kind of work -> the variable with the hours that one task of it may take, and the hours without it.
LIMITS = {
    "data": ("CXR_DATA_HOURS", 24.0),
    "training": ("CXR_TRAINING_HOURS", 72.0),
    "release": ("CXR_RELEASE_HOURS", 1.0),
    "other": ("CXR_TASK_HOURS", 4.0),
}
#: A run may take as long as so many of its longest tasks: the candidates of a training are trained one by one.
TASKS_IN_A_RUN = {"data": 4, "training": 12, "release": 4, "other": 4}


def task_limit(environment: Mapping[str, str], kind: str) -> timedelta:
    """How long one task of ``kind`` may take.

    Raises:
        ConfigurationError: The variable is not a number of hours above 0 and at most a year.

    >>> task_limit({"CXR_TRAINING_HOURS": "1.5"}, "training")
    datetime.timedelta(seconds=5400)
    """
    variable, usual = LIMITS[kind]
    return hours_of(environment, variable, usual)


def run_limit(environment: Mapping[str, str], kind: str) -> timedelta:
    """How long a whole run of ``kind`` may take, waiting for a worker included."""
    return TASKS_IN_A_RUN[kind] * task_limit(environment, kind)


def check_time_limits(environment: Mapping[str, str]) -> None:
    """``ConfigurationError`` for the first variable that is no number of hours."""
    for kind in LIMITS:
        task_limit(environment, kind)

"""Lengths of time that are settings of the environment, in hours."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from cxr_tasks.contracts.errors import ConfigurationError

#: A year; Airflow keeps no history that long.
MOST_HOURS = 8760.0


def hours_of(environment: Mapping[str, str], variable: str, usual: float) -> timedelta:
    """The time that ``variable`` gives in hours; ``usual`` hours where it is not set.

    Raises:
        ConfigurationError: It is not a number above 0 and at most a year.

    >>> hours_of({"CXR_TRAINING_HOURS": "1.5"}, "CXR_TRAINING_HOURS", 72)
    datetime.timedelta(seconds=5400)
    """
    text = environment.get(variable) or f"{usual:g}"
    try:
        hours = float(text)
    except ValueError:
        hours = float("nan")
    if not 0 < hours <= MOST_HOURS:
        raise ConfigurationError(
            f"{variable}={text}: expected a number of hours above 0 and at most {MOST_HOURS:g}, for example {usual:g}"
        )
    return timedelta(hours=hours)

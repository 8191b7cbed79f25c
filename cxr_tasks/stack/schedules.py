"""When DAGs start by the clock: cron expressions of the environment, checked before the stack starts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from cxr_tasks.contracts.errors import ConfigurationError

#: Variable -> what it is where it is not set; empty: no schedule.
CRON_VARIABLES = {
    "CXR_DATASET_BINARY_CRON": "",
    "CXR_DATASET_MULTILABEL_CRON": "",
    "CXR_REPORT_CRON": "0 6 * * 1",
    "CXR_MONITOR_CRON": "30 0 * * *",
    "CXR_PRUNE_CRON": "0 3 * * 0",
}
#: Words that Airflow takes for an expression.
PRESETS = ("@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")


def cron_of(environment: Mapping[str, str], variable: str) -> str:
    """The expression in ``variable``, its default where it is not set, an empty string for no schedule.

    Raises:
        ConfigurationError: It is no cron expression, or one of a date that never comes. Airflow itself shows neither:
            the DAG is there, and its next run never.

    >>> cron_of({"CXR_REPORT_CRON": "30 4 * * *"}, "CXR_REPORT_CRON")
    '30 4 * * *'
    """
    text = environment.get(variable, CRON_VARIABLES[variable])
    if text == "" or text in PRESETS:
        return text
    from croniter import CroniterError, croniter

    why = f"{len(text.split())} fields" if len(text.split()) != 5 else ""
    if not why:
        try:
            croniter(text, datetime.now(UTC)).get_next(datetime)
        except (CroniterError, ValueError, TypeError, AttributeError) as error:
            why = str(error) or type(error).__name__
    if why:
        raise ConfigurationError(
            f"{variable}={text}: expected five fields, minute hour day month weekday, that name a time which comes, "
            f"for example '0 6 * * 1', or one of {', '.join(PRESETS)}; found {why}"
        )
    return text


def check_schedules(environment: Mapping[str, str]) -> None:
    """``ConfigurationError`` for the first variable whose schedule cannot be."""
    for variable in CRON_VARIABLES:
        cron_of(environment, variable)

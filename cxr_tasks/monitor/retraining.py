"""Whether an alarm is to start a training: a setting for each model, with the days that lie between two at least."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

from cxr_tasks.contracts.errors import ConfigurationError, nearest
from cxr_tasks.contracts.families import MODELS

VARIABLE = "CXR_RETRAIN_ON_DRIFT"


def least_days(environment: Mapping[str, str]) -> dict[str, int]:
    """Model -> days between two trainings that alarms start; empty where no alarm starts one, as it is unless set.

    Raises:
        ConfigurationError: The variable does not read ``MODEL:DAYS ...``.

    >>> least_days({"CXR_RETRAIN_ON_DRIFT": "cxr_binary:30"})
    {'cxr_binary': 30}
    """
    days_of = {}
    for pair in environment.get(VARIABLE, "").split():
        model, _, days = pair.partition(":")
        if model not in MODELS:
            raise ConfigurationError(f"{VARIABLE}: {model!r} is no model{nearest(model, MODELS)}")
        if not (days.isdecimal() and 1 <= int(days) <= 3650):
            raise ConfigurationError(f"{VARIABLE}={pair}: expected MODEL:DAYS, for example {model}:30")
        days_of[model] = int(days)
    return days_of


def is_due(environment: Mapping[str, str], model: str, day: date, retrained_on: str) -> bool:
    """Whether an alarm of ``day`` starts a training; ``retrained_on`` is the day of the last that did, or empty."""
    days = least_days(environment).get(model)
    if days is None:
        return False
    return not retrained_on or day - date.fromisoformat(retrained_on) >= timedelta(days=days)

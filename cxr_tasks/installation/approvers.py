"""Who may approve a version, and how long they are given: settings of the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.installation.hours import hours_of

APPROVERS_VARIABLE = "CXR_APPROVERS"
HOURS_VARIABLE = "CXR_APPROVAL_HOURS"
DEFAULT_APPROVER = "admin"
DEFAULT_HOURS = 168.0


def approvers(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Airflow logins that may answer an approval; the administrator where none is named.

    Raises:
        ConfigurationError: A name has other characters than letters, digits, ``.``, ``_``, ``@`` and ``-``.

    >>> approvers({"CXR_APPROVERS": "dr.weber, dr.okafor"})
    ('dr.weber', 'dr.okafor')
    """
    text = environment.get(APPROVERS_VARIABLE, "")
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        # Airflow's list of users is cut at commas and colons.
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", name):
            raise ConfigurationError(
                f"{APPROVERS_VARIABLE}={text}: expected logins of letters, digits and . _ @ - separated by commas, "
                f"found {name!r}"
            )
    return names or (DEFAULT_APPROVER,)


def approval_limit(environment: Mapping[str, str]) -> timedelta:
    """How long an approval waits for an answer; a week where nothing else is asked.

    Raises:
        ConfigurationError: It is not a number above 0 and at most a year.
    """
    return hours_of(environment, HOURS_VARIABLE, DEFAULT_HOURS)

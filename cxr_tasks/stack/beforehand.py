"""Settings that a later task or a schedule would read, checked when the stack starts: a wrong one is named at once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.installation.oidc import Oidc
from cxr_tasks.registry.audit.copies import copy_settings
from cxr_tasks.stack.deadlines import deadline_of
from cxr_tasks.stack.lineage.outbox import check_lineage
from cxr_tasks.stack.schedules import check_schedules
from cxr_tasks.stack.servers.model_server import request_log_flags
from cxr_tasks.stack.time_limits import check_time_limits
from serving.check.latency_limit import max_latency_ratio
from serving.export.precision_asked import asked_precision
from serving.served.batching import asked_batching


def check_settings(environment: Mapping[str, str]) -> None:
    """``ConfigurationError`` for the first variable that some program or task of the stack could not use."""
    check_schedules(environment)
    check_time_limits(environment)
    deadline_of(environment, timedelta(hours=1))
    request_log_flags(environment)
    max_latency_ratio(environment)
    asked_precision(environment)
    asked_batching(environment, is_embedded=True)
    _check_addresses(environment)
    Oidc.configured(environment)
    copy_settings(environment)
    check_lineage(environment)


def _check_addresses(environment: Mapping[str, str]) -> None:
    """Addresses hold passwords: a wrong one is named by its place."""
    from cxr_tasks.installation.notices import ADDRESSES, not_understood

    addresses = environment.get(ADDRESSES, "").split()
    places = not_understood(addresses)
    if places:
        numbers = ", ".join(map(str, places))
        raise ConfigurationError(
            f"{ADDRESSES}: address {numbers} of {len(addresses)} is not one that Apprise understands; expected such as "
            "'mailto://user:password@host' or 'json://host/path', separated by spaces"
        )

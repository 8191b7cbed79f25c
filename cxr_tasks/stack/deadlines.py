"""Deadlines of runs: long before a run is ended for having taken too long, somebody hears that it takes long."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.installation.notices import send
from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.installation.signals import count

log = logging.getLogger(__name__)

VARIABLE = "CXR_DEADLINE_SHARE"
USUAL_SHARE = 0.5


def deadline_of(environment: Mapping[str, str], limit: timedelta) -> timedelta:
    """After how long a run that is ended after ``limit`` is told of, in whole seconds, as people are told it.

    Raises:
        ConfigurationError: The variable is no share of the limit.

    >>> deadline_of({"CXR_DEADLINE_SHARE": "0.25"}, timedelta(hours=16))
    datetime.timedelta(seconds=14400)
    """
    text = environment.get(VARIABLE) or str(USUAL_SHARE)
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise ConfigurationError(f"{VARIABLE}={text}: expected a share of a run's limit, more than 0 and less than 1")
    return timedelta(seconds=max(1, round(limit.total_seconds() * share)))


async def tell_of_missed(context: dict[str, Any], after: str) -> None:
    """Tell the addresses of ``CXR_NOTIFY`` which run takes long; Airflow's triggerer calls it, once for each run."""
    await asyncio.to_thread(_tell, context, after)


def _tell(context: dict[str, Any], after: str) -> None:
    run = context["dag_run"]
    dag_id, run_id = run["dag_id"], run["dag_run_id"]
    if run["end_date"] is not None:
        # Airflow takes a run's deadline back only where the run succeeded: one that failed in its first minute would be
        # said to take long, hours after it was told that it failed.
        log.info("run %s of %s has ended (%s) and is not told of", run_id, dag_id, run["state"])
        return
    log.warning("run %s of %s has taken longer than %s", run_id, dag_id, after)
    count("deadline_missed", dag_id)
    page = f"{StackSettings.load().airflow_page}/dags/{dag_id}/runs/{quote(run_id, safe='')}"
    send(
        f"Chest X-rays: {dag_id} takes long",
        f"Run {run_id} of {dag_id} has not ended {after} after it was asked for. It goes on; look whether it waits for "
        f"a worker or hangs.\nIts page: {page}",
    )

"""Champions of the registry that no release has dealt with yet, told as soon as somebody moves the alias.

For a process that does many things at once, such as Airflow's triggerer: everything waits without blocking, and
MLflow's own client, which takes seconds and 200 MB to import, is left out.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace

import httpx

from cxr_tasks.contracts.errors import ConfigurationError, CxrError, ServiceUnavailable
from cxr_tasks.registry.versions import CHAMPION
from serving.served.state import ServingState, is_being_changed, locked, read_state, write_state

logger = logging.getLogger(__name__)

EVERY_S = 3.0
#: What is told of and not dealt with by then is told of again. Whoever listens keeps one release of a champion at a
#: time (``cxr_tasks/worklist/champions.py``): one that waits or runs, however long, has no second one beside it; after
#: one that ended without dealing with the champion, such as for want of a registry, another follows within this time.
AGAIN_AFTER_S = 30.0
#: A registry that does not answer is asked less and less often, down to this; it can change nothing meanwhile.
LONGEST_PAUSE_S = 12.0
TIMEOUT_S = 10.0
#: MLflow's codes for a model that is not registered and one that has no such alias.
_NO_CHAMPION = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}


@dataclass(frozen=True, slots=True)
class NewChampion:
    """The version that bears the alias now, and that a release has still to deal with."""

    model: str
    version: int
    run_id: str = ""
    """The MLflow run it was registered from: numbers start anew in a new registry."""


@dataclass(slots=True)
class Announcements:
    """Decides, poll by poll, which champions are to be told of: each change once, and again where nothing followed.

    Between being told and being dealt with, a release has to start; it is not told of again meanwhile, for
    ``AGAIN_AFTER_S``. What has been told is kept in memory only: a watcher that starts anew tells again what is still
    not dealt with.
    """

    told: dict[str, tuple[NewChampion, float]] = field(default_factory=dict)

    def due(
        self, model: str, champion: int | None, state: ServingState, now: float, run_id: str = ""
    ) -> NewChampion | None:
        """What to tell of ``model`` after a poll that found ``champion``, of run ``run_id``, at ``now`` (seconds)."""
        if champion is None or not state.is_due(champion, run_id):
            self.told.pop(model, None)
            return None
        found = NewChampion(model, champion, run_id)
        before, told_at = self.told.get(model, (None, 0.0))
        if before == found and now - told_at < AGAIN_AFTER_S:
            return None
        self.told[model] = (found, now)
        return found

    def forget(self) -> None:
        """Tell again what is still not dealt with: a release that ran while the registry was away has failed."""
        self.told.clear()


async def new_champions(
    models: Sequence[str],
    *,
    every_s: float = EVERY_S,
    state_of: Callable[[str], ServingState] = read_state,
) -> AsyncIterator[NewChampion]:
    """Ask the registry for ever; each champion that is not dealt with yet comes out once.

    A registry that does not answer, or a state that cannot be read, is logged once, and once more when that is over.

    Raises:
        ConfigurationError: ``MLFLOW_TRACKING_URI`` is not the address of a server.
    """
    announcements, pause = Announcements(), every_s
    logged: set[str] = set()
    async with registry_client() as client:
        while True:
            problems = []
            for model in models:
                try:
                    champion, run_id = await champion_version(client, model)
                    state = await asyncio.to_thread(state_of, model)
                    if champion is not None and state.is_due(champion, run_id) and is_being_changed(model):
                        # A rollback moves the alias before the server; it deals with that itself.
                        continue
                except CxrError as error:
                    problems.append(str(error))
                    continue
                if change := announcements.due(model, champion, state, time.monotonic(), run_id):
                    yield change
            for problem in problems:
                if problem not in logged:
                    logged.add(problem)
                    logger.warning("champions are not watched: %s", problem)
            if logged and not problems:
                logger.info("champions are watched again")
                logged.clear()
                announcements.forget()
            pause = min(pause * 2, LONGEST_PAUSE_S) if problems else every_s
            await asyncio.sleep(pause)


def retry_release(model: str, version: int) -> bool:
    """Let the release of a version that was refused or failed be tried again; whether it had been dealt with.

    Where the version is champion, the watch tells of it again.
    """
    with locked(model, f"another try at version {version}"):
        state = read_state(model)
        serves = state.stable == version and state.content_of(version).is_of_run(state.handled_run)
        if state.handled != version or serves:
            return False
        write_state(model, replace(state, handled=None, handled_run=""))
    return True


def registry_client() -> httpx.AsyncClient:
    """A client of the MLflow server in the environment, with the login that MLflow's own client takes from there."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri.startswith(("http://", "https://")):
        raise ConfigurationError(
            f"MLFLOW_TRACKING_URI={uri}: expected the address of an MLflow server, whose aliases can be watched"
        )
    user = os.environ.get("MLFLOW_TRACKING_USERNAME")
    login = httpx.BasicAuth(user, os.environ.get("MLFLOW_TRACKING_PASSWORD", "")) if user else None
    return httpx.AsyncClient(base_url=uri, auth=login, timeout=TIMEOUT_S)


async def champion_version(client: httpx.AsyncClient, model: str) -> tuple[int | None, str]:
    """The version with alias ``champion`` and its run; None and '' where the model or the alias is not there.

    Raises:
        ServiceUnavailable: No answer, or none that speaks of an alias.
    """
    try:
        answer = await client.get("/api/2.0/mlflow/registered-models/alias", params={"name": model, "alias": CHAMPION})
    except httpx.HTTPError as error:
        raise ServiceUnavailable(
            f"MLflow at {client.base_url}: expected an answer, found {type(error).__name__}"
        ) from error
    try:
        body = answer.json()
        if answer.is_success:
            return int(body["model_version"]["version"]), str(body["model_version"].get("run_id") or "")
        if body.get("error_code") in _NO_CHAMPION:
            return None, ""
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise ServiceUnavailable(
        f"MLflow at {client.base_url}: expected alias {CHAMPION!r} of {model}, found status {answer.status_code}"
    )

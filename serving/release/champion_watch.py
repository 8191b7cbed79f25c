"""Champions of the registry that no release has dealt with yet, told as soon as somebody moves the alias.

For a process that does many things at once, such as Airflow's triggerer: everything waits without blocking, and
MLflow's own client, which takes seconds and 200 MB to import, is left out.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from cxr_tasks.contracts.errors import CxrError
from cxr_tasks.registry.rest import champion_version, registry_client
from serving.served.state import ServingState, is_being_changed, read_state

logger = logging.getLogger(__name__)

EVERY_S = 3.0
#: What is told of and not dealt with by then is told of again. Whoever listens keeps one release of a champion at a
#: time (``cxr_tasks/worklist/champions.py``): one that waits or runs, however long, has no second one beside it; after
#: one that ended without dealing with the champion, such as for want of a registry, another follows within this time.
AGAIN_AFTER_S = 30.0
#: A registry that does not answer is asked less and less often, down to this; it can change nothing meanwhile.
LONGEST_PAUSE_S = 12.0


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
        champion_now = NewChampion(model, champion, run_id)
        before, told_at = self.told.get(model, (None, 0.0))
        if before == champion_now and now - told_at < AGAIN_AFTER_S:
            return None
        self.told[model] = (champion_now, now)
        return champion_now

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

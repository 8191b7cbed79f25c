"""The trigger that works off the list of requests: in the triggerer, without a worker slot.

It is here because Airflow has this folder on the path of every process; the DAG processor, the scheduler and the
triggerer all import it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from cxr_tasks.contracts.errors import CxrError
from serving.release.champion_watch import EVERY_S, new_champions

logger = logging.getLogger(__name__)

PASS_EVERY_S = 2.0
THOROUGH_EVERY_S = 60.0
#: A question that nobody needs to answer any more may stand for so long.
QUESTIONS_EVERY_S = 20.0


class WorkOff(BaseEventTrigger):
    """Passes over the list of requests for ever, and asks for a release where an alias ``champion`` has moved.

    It fires no event: what is to be done is in the list, and a run is started for each request.
    """

    def __init__(self, models: list[str], every_s: float = EVERY_S):
        super().__init__()
        self.models = list(models)
        self.every_s = every_s

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, from which the triggerer makes it again."""
        return "work_off.WorkOff", {"models": self.models, "every_s": self.every_s}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """For as long as ``cxr_requests`` is there and not paused."""
        await asyncio.gather(self._watch_champions(), self._work_off(), _end_settled_questions(), self._watch_outages())
        yield TriggerEvent({})  # not reached: both go on for ever

    async def _watch_champions(self) -> None:
        from cxr_tasks.worklist.champions import ask_for_release
        from cxr_tasks.worklist.store import Worklist

        async for change in new_champions(self.models, every_s=self.every_s):
            # Of which run, too: the number alone may have been given before. A digest of its files would add nothing:
            # what was judged is recorded by number and run, and the release itself holds the files against that.
            identity = {"mlflow_run_id": change.run_id} if change.run_id else {}
            await asyncio.to_thread(ask_for_release, Worklist(), change.model, change.version, identity)

    async def _watch_outages(self) -> None:
        """A failed look is said once, and the next one goes on."""
        from cxr_tasks.installation.settings import StackSettings
        from serving.client.running import served_versions
        from serving.release.outage_watch import LOOK_EVERY_S, OutageWatch

        settings, said = StackSettings.load(), ""
        watch = OutageWatch(self.models, lambda model: served_versions(settings, model))
        while True:
            try:
                await asyncio.to_thread(watch.look)
                said = ""
            except Exception as error:
                # Nothing that goes wrong here may end the work on the list.
                problem = f"{type(error).__name__}: {error}"
                if problem != said:
                    logger.warning("outages are not watched: %s", problem, exc_info=True)
                said = problem
            await asyncio.sleep(LOOK_EVERY_S)

    async def _work_off(self) -> None:
        """A failed pass is said once, and the next one goes on: nothing but a stop ends it."""
        from cxr_tasks.installation.logins import LIST_USER
        from cxr_tasks.installation.settings import StackSettings
        from cxr_tasks.worklist.airflow_api import AirflowApi
        from cxr_tasks.worklist.store import Worklist
        from cxr_tasks.worklist.work_off import work_off

        api, last_thorough, said = None, -THOROUGH_EVERY_S, ""
        while True:
            is_thorough = time.monotonic() - last_thorough >= THOROUGH_EVERY_S
            try:
                if api is None:
                    api = await asyncio.to_thread(AirflowApi, StackSettings.load(), LIST_USER)
                await asyncio.to_thread(work_off, api, Worklist(), thorough=is_thorough)
                if is_thorough:
                    last_thorough = time.monotonic()
                if said:
                    logger.info("the list of requests is worked off again")
                said = ""
            except CxrError as error:
                said = _say(said, str(error))
            except Exception as error:
                # Whatever one request stumbles over must not end the work on all others.
                api, said = None, _say(said, f"{type(error).__name__}: {error}", is_unforeseen=True)
            await asyncio.sleep(PASS_EVERY_S)


async def _end_settled_questions() -> None:
    """End, for as long as the trigger runs, the questions that something else has settled (see ``cxr_promote``)."""
    from cxr_tasks.installation.settings import StackSettings
    from cxr_tasks.worklist.airflow_api import AirflowApi
    from cxr_tasks.worklist.settled_questions import end_settled_questions

    api, said = None, ""
    while True:
        await asyncio.sleep(QUESTIONS_EVERY_S)
        try:
            if api is None:
                api = await asyncio.to_thread(AirflowApi, StackSettings.load())
            await asyncio.to_thread(end_settled_questions, api)
            said = ""
        except Exception as error:
            # Whatever one question stumbles over must not end the work on the list.
            if str(error) != said:
                logger.warning("waiting questions are not looked at: %s", error)
            api, said = None, str(error)


def _say(said: str, problem: str, *, is_unforeseen: bool = False) -> str:
    if problem != said:
        logger.warning("the list of requests is not worked off: %s", problem, exc_info=is_unforeseen)
    return problem

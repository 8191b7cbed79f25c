"""The trigger that watches alias ``champion``: in the triggerer, without a worker slot.

It is here because Airflow has this folder on the path of every process; the DAG processor, the scheduler and the
triggerer all import it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from serving.champion_watch import EVERY_S, new_champions


class ChampionMoved(BaseEventTrigger):
    """Fires for each change of an alias ``champion``, whoever made it, until a release deals with it.

    The payload names model and version.
    """

    def __init__(self, models: list[str], every_s: float = EVERY_S):
        super().__init__()
        self.models = list(models)
        self.every_s = every_s

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, from which the triggerer makes it again."""
        return "champion_moved.ChampionMoved", {"models": self.models, "every_s": self.every_s}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Watch for as long as a DAG is scheduled on the Asset."""
        async for change in new_champions(self.models, every_s=self.every_s):
            yield TriggerEvent({"model": change.model, "version": change.version})

"""Calls that change something reach Airflow's API server one at a time, where its database is an SQLite file.

The API server (3.3.2) commits its log of actions on the event loop's thread. Beside another call that writes, that
commit waits for SQLite's one writer, which waits for the event loop to let it end: nothing moves for five seconds,
then one or both are answered with 500 and undone, an Asset event or a task's end among them.
"""

from __future__ import annotations

import asyncio
from typing import Any

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

_READS = ("GET", "HEAD", "OPTIONS")


class OneWriter:
    """An ASGI middleware; calls that only read pass by."""

    def __init__(self, app: Any):
        self._app = app
        self._turn = asyncio.Lock()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] in _READS:
            await self._app(scope, receive, send)
            return
        # Read before its turn: a sender that stalls holds up nobody else.
        messages = [await receive()]
        while messages[-1]["type"] == "http.request" and messages[-1].get("more_body"):
            messages.append(await receive())

        async def replay() -> Any:
            return messages.pop(0) if messages else await receive()

        async with self._turn:
            await self._app(scope, replay, send)


class OneWriterPlugin(AirflowPlugin):
    """Registers the middleware; other databases have room for several writers."""

    name = "cxr_one_writer"
    fastapi_root_middlewares = (
        [{"middleware": OneWriter, "args": [], "kwargs": {}, "name": "one writer at a time"}]
        if conf.get("database", "sql_alchemy_conn").startswith("sqlite")
        else []
    )

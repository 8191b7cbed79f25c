"""Threads that work for an event loop: what they give back, how many they are, and how they end."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref

import pytest

from serving.server.workers import Workers
from tests.waiting import PATIENCE_S, wait_until


def named(prefix: str) -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name.startswith(prefix)]


def test_gives_what_work_gives_and_raises_what_it_raises():
    async def ask():
        workers = Workers(2, "both")
        assert await asyncio.gather(*(workers.run(lambda one=one: one * 2) for one in range(20))) == list(
            range(0, 40, 2)
        )
        with pytest.raises(ZeroDivisionError):
            await workers.run(lambda: 1 // 0)
        assert await workers.run(lambda: "still there") == "still there"
        workers.close()

    asyncio.run(ask())


def test_begins_no_more_threads_than_are_needed_or_allowed():
    async def ask():
        workers, may_end = Workers(3, "few"), threading.Event()
        for _ in range(5):
            await workers.run(int)
        assert len(named("few")) == 1
        waiting = [asyncio.ensure_future(workers.run(may_end.wait)) for _ in range(7)]
        await asyncio.sleep(0)
        assert len(named("few")) == 3
        may_end.set()
        assert await asyncio.gather(*waiting) == [True] * 7
        workers.close()

    asyncio.run(ask())
    wait_until(lambda: not named("few"))


def test_a_caller_that_gives_up_ends_neither_the_thread_nor_the_others():
    async def ask():
        workers, may_end = Workers(1, "gone"), threading.Event()
        given_up = asyncio.ensure_future(workers.run(may_end.wait))
        await asyncio.sleep(0)
        given_up.cancel()
        other = asyncio.ensure_future(workers.run(lambda: "other"))
        await asyncio.sleep(0)
        may_end.set()
        assert await other == "other"
        assert given_up.cancelled()
        workers.close()

    asyncio.run(ask())


def test_ends_its_threads_also_where_the_loop_is_closed_before_them():
    may_end = threading.Event()

    async def ask():
        workers = Workers(2, "late")
        left = asyncio.ensure_future(workers.run(may_end.wait))
        await asyncio.sleep(0)
        workers.close()
        left.cancel()

    asyncio.run(ask())
    may_end.set()
    wait_until(lambda: not named("late"))


def test_holds_nothing_of_an_answer_that_was_given():
    class Large:
        pass

    async def ask():
        workers = Workers(1, "held")
        made = weakref.ref(await workers.run(Large))
        # The thread lets go after it has told the loop.
        async with asyncio.timeout(PATIENCE_S):
            while made() is not None:
                gc.collect()
                await asyncio.sleep(0.01)
        workers.close()

    asyncio.run(ask())

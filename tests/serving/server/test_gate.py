"""Which calls run at once, which wait and which are sent away."""

from __future__ import annotations

import asyncio
import threading

import pytest

from serving.server.flags import ServerOptions
from serving.server.gate import RUNS_PER_CPU, SMALL_BYTES, Gate
from serving.server.run.runner import Patience
from serving.server.status import StatusError
from tests.waiting import PATIENCE_S

JOINS = ServerOptions(join_signatures="serving_default", grpc_max_threads=64)


class Blocked:
    """Work that takes until it is told to go on."""

    def __init__(self):
        self.begun: list[str] = []
        self.may_go_on = threading.Event()

    def named(self, name: str):
        def work() -> str:
            self.begun.append(name)
            assert self.may_go_on.wait(PATIENCE_S)
            return name

        return work


async def until(is_so) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():
            await asyncio.sleep(0.01)


def test_few_large_requests_are_read_at_a_time_and_keep_no_small_one_out():
    async def ask():
        gate, blocked = Gate(JOINS, n_cpus=1), Blocked()
        large = [
            asyncio.ensure_future(gate.run(blocked.named("large"), Patience(), SMALL_BYTES + 1)) for _ in range(20)
        ]
        small = [asyncio.ensure_future(gate.run(blocked.named("small"), Patience(), 1000)) for _ in range(10)]
        await until(lambda: blocked.begun.count("small") == 10)
        assert blocked.begun.count("large") == RUNS_PER_CPU
        blocked.may_go_on.set()
        assert await asyncio.gather(*large, *small) == ["large"] * 20 + ["small"] * 10
        gate.close()

    asyncio.run(ask())


def test_a_call_beyond_all_turns_is_sent_away_and_one_that_is_given_up_frees_its_turn():
    async def ask():
        gate, blocked = Gate(ServerOptions(grpc_max_threads=3), n_cpus=1), Blocked()
        held = [asyncio.ensure_future(gate.run_or_refuse(blocked.named("held"), Patience(), 1)) for _ in range(2)]
        await until(lambda: len(blocked.begun) == 2)
        with pytest.raises(StatusError, match="Threadpool Exhausted"):
            await gate.run_or_refuse(blocked.named("too many"), Patience(), 1)
        held[0].cancel()
        await until(held[0].done)
        other = asyncio.ensure_future(gate.run_or_refuse(blocked.named("other"), Patience(), 1))
        await until(lambda: "other" in blocked.begun)
        blocked.may_go_on.set()
        assert await other == "other"
        assert await held[1] == "held"
        gate.close()

    asyncio.run(ask())

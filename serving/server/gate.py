"""Which calls run now, which wait, and which are sent away: the one way to the models' threads, for both ports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from serving.server.batching.joining import MOST_ROWS
from serving.server.flags import ServerOptions
from serving.server.run.runner import Patience
from serving.server.status import StatusError
from serving.server.workers import Workers

Answer = TypeVar("Answer")

#: Runs beside each other for each processor; more would only take each other's time and memory.
RUNS_PER_CPU = 2
#: A request of more bytes is not read before it can run at once: its memory is needed twice from then on.
SMALL_BYTES = 8 << 20


class Gate:
    """Runs work in threads, the first to come first. Used from the event loop only.

    A call has its turn from its arrival to its answer, waiting included; of turns there are ``grpc_max_threads - 1``.
    Of those with a turn a few run at once; where requests are joined more small ones do, as they wait for each other
    there, behind bounds on the runs. A client that gives up frees its turn at once, whether its call waits or runs; the
    run ends by itself when ``Patience`` says so.
    """

    def __init__(self, options: ServerOptions, n_cpus: int) -> None:
        n_turns = max(1, options.grpc_max_threads - 1)
        n_large = n_turns if options.enable_batching else min(n_turns, RUNS_PER_CPU * n_cpus)
        # Beside what runs as many as fill the next joined run of two models.
        n_small = n_large + 2 * MOST_ROWS if options.join_signatures else n_large
        self._n_free = n_turns
        self._large = asyncio.Semaphore(n_large)
        self._small = asyncio.Semaphore(n_small) if options.join_signatures else self._large
        self._workers = Workers(n_turns + n_large + n_small, "run")
        self.n_held = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def run_or_refuse(self, work: Callable[[], Answer], patience: Patience, n_bytes: int) -> Answer:
        """What ``work`` gives for a request of ``n_bytes``.

        Raises:
            StatusError: ``RESOURCE_EXHAUSTED`` where all turns are taken, ``DEADLINE_EXCEEDED`` where the wait was too
                long, or what ``work`` raises.
        """
        if not self._n_free:
            raise StatusError("RESOURCE_EXHAUSTED", "Server Threadpool Exhausted")
        self._n_free -= 1
        try:
            return await self.run(work, patience, n_bytes)
        finally:
            self._n_free += 1

    async def run(self, work: Callable[[], Answer], patience: Patience, n_bytes: int) -> Answer:
        """The same for callers who are bounded elsewhere: they wait, however many there are."""
        self.n_held += 1
        self._idle.clear()
        try:
            async with self._small if n_bytes <= SMALL_BYTES else self._large:
                if patience.is_over:
                    raise StatusError("DEADLINE_EXCEEDED", "The time limit of the call ended before its turn came")
                return await self._workers.run(work)
        except asyncio.CancelledError:
            patience.give_up()
            raise
        finally:
            self.n_held -= 1
            if not self.n_held:
                self._idle.set()

    async def drained(self, most_s: float) -> int:
        """Waits until nothing is held any more, ``most_s`` at most; gives the number of calls that still are."""
        try:
            await asyncio.wait_for(self._idle.wait(), most_s)
        except TimeoutError:
            return self.n_held
        return 0

    def close(self) -> None:
        """Takes no more work; what runs is not waited for."""
        self._workers.close()

"""A batch that fails, and what becomes of the requests in it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from serving.server.batching.batch_config import BatchLimits
from serving.server.batching.batching import BatchingRunner, BatchScheduler
from serving.server.metrics import Metrics
from serving.server.status import StatusError
from tests.waiting import PATIENCE_S


class Halves:
    """Gives half of each number; fails where one is negative, as a graph does for an image that it refuses."""

    def __init__(self):
        self.sizes: list[int] = []
        self.has_begun, self.may_go_on = threading.Event(), threading.Event()

    def run(self, feeds, arrays, fetches, *patience):
        self.has_begun.set()
        self.may_go_on.wait(PATIENCE_S)
        (numbers,) = arrays
        self.sizes.append(len(numbers))
        if (numbers < 0).any():
            raise StatusError("INVALID_ARGUMENT", f"number {int(np.argmin(numbers))} is negative")
        return [numbers / 2.0]


def test_all_requests_of_a_batch_that_fails_are_told_so():
    model, scheduler = Halves(), BatchScheduler(1, Metrics())
    runner = BatchingRunner("toy", model, BatchLimits(max_batch_size=8, n_threads=1), scheduler)
    asked = [2.0, 4.0, -1.0, 8.0]

    def ask(number: float):
        try:
            return float(runner.run(["x"], [np.array([number])], ["y"])[0][0])
        except StatusError as error:
            return error.message

    with ThreadPoolExecutor(5) as pool:
        # The first keeps the one thread, so that the others come together.
        first = pool.submit(ask, 0.0)
        assert model.has_begun.wait(PATIENCE_S)
        waiting = [pool.submit(ask, one) for one in asked]
        while sum(batch.n_rows for queue in list(scheduler._waiting.values()) for batch in list(queue)) < len(asked):
            time.sleep(0.01)
        model.may_go_on.set()
        answers = [one.result(PATIENCE_S) for one in waiting]
        assert first.result(PATIENCE_S) == 0.0
    scheduler.stop()
    assert len(set(answers)) == 1
    assert "is negative" in answers[0]
    assert model.sizes == [1, 4]

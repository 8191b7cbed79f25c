"""Requests joined to batches: concurrent requests of one signature run together, then are split again."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from serving.server.batching.batch_config import BatchLimits
from serving.server.batching.batch_merge import merged, split
from serving.server.metrics import Metrics
from serving.server.run.runner import FOR_EVER, Patience, Runner
from serving.server.status import StatusError

Key = tuple[int, tuple[str, ...], tuple[str, ...]]


@dataclass(slots=True)
class Task:
    """One request: its arrays, its number of rows, how long its client waits, and where its outputs go."""

    arrays: list[np.ndarray]
    n_rows: int
    patience: Patience = FOR_EVER
    done: Future[list[np.ndarray]] = field(default_factory=Future)
    begin: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class _Batch:
    runner: BatchingRunner
    feeds: tuple[str, ...]
    fetches: tuple[str, ...]
    due: float
    tasks: list[Task] = field(default_factory=list)
    n_rows: int = 0
    is_closed: bool = False


class BatchingRunner:
    """Runs a model's signatures in batches; requests that differ in inputs or outputs asked for are never joined."""

    def __init__(self, name: str, model: Runner, limits: BatchLimits, scheduler: BatchScheduler) -> None:
        self.name, self.model, self.limits, self._scheduler = name, model, limits, scheduler

    def run(
        self,
        feeds: Sequence[str],
        arrays: Sequence[np.ndarray],
        fetches: Sequence[str],
        patience: Patience = FOR_EVER,
    ) -> list[np.ndarray]:
        """The outputs for ``arrays``, which all have the batch as first dimension.

        Raises:
            StatusError: ``INVALID_ARGUMENT`` for scalars, unequal or no rows, or more than fit a batch; ``UNAVAILABLE``
                where too many batches wait; or what the whole batch failed with.
        """
        if any(not array.ndim for array in arrays):
            raise StatusError("INVALID_ARGUMENT", "Batching Run() input tensors must have at least one dimension")
        sizes = {len(array) for array in arrays}
        if len(sizes) > 1:
            raise StatusError("INVALID_ARGUMENT", "Batching Run() input tensors must have equal 0th-dimension size")
        n_rows = sizes.pop() if sizes else 0
        if not n_rows:
            raise StatusError("INVALID_ARGUMENT", "Batching Run() input tensors must have at least one row, got none")
        if n_rows > self.limits.max_batch_size:
            raise StatusError(
                "INVALID_ARGUMENT",
                f"Task size {n_rows} is larger than maximum input batch size {self.limits.max_batch_size}",
            )
        task = Task(list(arrays), n_rows, patience)
        self._scheduler.add(self, tuple(feeds), tuple(fetches), task)
        try:
            return task.done.result()
        finally:
            # A fault that passes through here holds this frame, and would hold itself and the arrays.
            del task


class BatchScheduler:
    """The batches that wait and the threads that run them, shared by all models.

    As in the real server, all requests of a batch fail where one does; ``joining`` is kinder.
    """

    def __init__(self, n_threads: int, metrics: Metrics) -> None:
        self._metrics = metrics
        self._waiting: dict[Key, deque[_Batch]] = {}
        self._changed = threading.Condition()
        self._is_stopped = False
        for number in range(n_threads):
            threading.Thread(target=self._work, name=f"batch-{number}", daemon=True).start()

    def stop(self) -> None:
        """Ends the threads once nothing waits."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    def add(self, runner: BatchingRunner, feeds: tuple[str, ...], fetches: tuple[str, ...], task: Task) -> None:
        """Puts ``task`` in the open batch of its kind, or opens a new one.

        Raises:
            StatusError: ``UNAVAILABLE`` where as many batches of its kind wait as may.
        """
        limits = runner.limits
        with self._changed:
            queue = self._waiting.setdefault((id(runner), feeds, fetches), deque())
            last = queue[-1] if queue else None
            if last is None or last.is_closed or last.n_rows + task.n_rows > limits.max_batch_size:
                if len(queue) >= limits.max_enqueued_batches:
                    raise StatusError(
                        "UNAVAILABLE",
                        "The batch scheduling queue to which this task was submitted is full; currently "
                        f"{len(queue)} batches enqueued and max_enqueued_batches is {limits.max_enqueued_batches}",
                    )
                if last is not None:
                    last.is_closed = True
                last = _Batch(runner, feeds, fetches, task.begin + limits.timeout_s)
                queue.append(last)
            last.tasks.append(task)
            last.n_rows += task.n_rows
            last.is_closed = last.is_closed or last.n_rows == limits.max_batch_size
            self._changed.notify_all()

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            self._run(batch)

    def _next(self) -> _Batch | None:
        """The ready batch that waited longest; waits for one. None when stopped."""
        with self._changed:
            while True:
                now = time.monotonic()
                heads = [(queue[0].due, key) for key, queue in self._waiting.items() if queue]
                ready = [(due, key) for due, key in heads if self._waiting[key][0].is_closed or due <= now]
                if ready:
                    _, key = min(ready)
                    batch = self._waiting[key].popleft()
                    if not self._waiting[key]:
                        del self._waiting[key]
                    return batch
                if self._is_stopped and not heads:
                    return None
                self._changed.wait(min((due for due, _ in heads), default=now + 60) - now)

    def _run(self, batch: _Batch) -> None:
        runner = batch.runner
        tasks = _still_wanted(batch.tasks)
        if not tasks:
            return
        n_rows = sum(task.n_rows for task in tasks)
        begin = time.monotonic()
        for task in tasks:
            self._metrics.queuing.observe((), (begin - task.begin) * 1e6)
        try:
            size = runner.limits.padded_size(n_rows)
            arrays = merged([task.arrays for task in tasks], batch.feeds, size, runner.limits.pads_inputs)
            self._metrics.batch_runs.add(())
            self._metrics.batch_sizes.add((runner.name, "Session", str(size)))
            self._metrics.padding.observe((str(size), runner.name), size - n_rows)
            # The run goes on as long as the most patient of its clients waits.
            longest = Patience(max(task.patience.until for task in tasks))
            made = runner.model.run(batch.feeds, arrays, batch.fetches, longest)
            parts = split(made, [task.n_rows for task in tasks], size)
        except BaseException as error:
            # Every waiting request must get an answer, whatever broke.
            for task in tasks:
                task.done.set_exception(error)
            # The fault holds this frame, and would hold itself through them.
            del batch, tasks, task
            return
        for task, part in zip(tasks, parts, strict=True):
            task.done.set_result(part)


def _still_wanted(tasks: list[Task]) -> list[Task]:
    """The tasks whose clients still wait; the others are answered without a run."""
    wanted = []
    for task in tasks:
        if task.patience.is_over:
            task.done.set_exception(
                StatusError("DEADLINE_EXCEEDED", "Run() timeout exceeded while waiting in batching queue")
            )
        else:
            wanted.append(task)
    return wanted

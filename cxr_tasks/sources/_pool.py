"""Work on many items in all cores, results in the order of the items, memory bounded."""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from cxr_tasks.contracts.errors import ServiceUnavailable

Item = TypeVar("Item")
Result = TypeVar("Result")


def available_cores() -> int:
    """Cores this process may use, which in a container are often fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_in_processes(
    function: Callable[[list[Item]], list[Result]],
    items: Iterable[Item],
    *,
    chunk_size: int = 16,
    n_workers: int | None = None,
    patience_s: float = 1.5,
) -> Iterator[Result]:
    """``map_chunks_in_processes``, flattened: a result for every item where ``function`` gives as many as it takes."""
    chunks = map_chunks_in_processes(function, items, chunk_size=chunk_size, n_workers=n_workers, patience_s=patience_s)
    return itertools.chain.from_iterable(chunks)


def map_chunks_in_processes(
    function: Callable[[list[Item]], list[Result]],
    items: Iterable[Item],
    *,
    chunk_size: int = 16,
    n_workers: int | None = None,
    patience_s: float = 1.5,
) -> Iterator[list[Result]]:
    """``function`` of every chunk of ``items``, in order.

    The work begins in this process; after ``patience_s`` seconds worker processes are started, and what is left when
    the first is ready goes to them. Until then it goes on here: a start takes seconds where the main program is a
    large one, such as Airflow, which every worker imports again.

    ``function`` is defined at the top of a module and takes and gives what can be pickled. Workers are started afresh
    (``spawn``): a forked child of a process that runs threads can hang. At most four chunks per worker are under way,
    so memory does not grow with the number of items.
    """
    chunks = _batched(items, chunk_size)
    n_workers = n_workers or available_cores()
    start = time.monotonic()
    for chunk in chunks:
        yield function(chunk)
        if n_workers > 1 and time.monotonic() - start >= patience_s:
            break
    first = next(chunks, None)
    if first is not None:
        yield from _in_workers(function, itertools.chain([first], chunks), n_workers)


def _in_workers(
    function: Callable[[list[Item]], list[Result]], chunks: Iterator[list[Item]], n_workers: int
) -> Iterator[list[Result]]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_workers, mp_context=context, initializer=_prepare, initargs=(function,)) as pool:
        under_way: deque[Future[list[Result]]] = deque()
        try:
            is_ready = pool.submit(os.getpid)
            while not is_ready.done() and (chunk := next(chunks, None)) is not None:
                yield function(chunk)
            for chunk in chunks:
                under_way.append(pool.submit(function, chunk))
                if len(under_way) >= 4 * n_workers:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        except BrokenProcessPool:
            raise ServiceUnavailable(
                "a worker process was ended from outside, most often because memory ran out; give the task more, or "
                "fewer processor cores, and try again: what is done is kept"
            ) from None
        finally:
            for future in under_way:
                future.cancel()


def _prepare(_function: Callable[..., object]) -> None:
    # With the function came all it needs. That is never garbage: frozen, it is not looked through again and again.
    gc.freeze()


def _batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    # itertools.batched needs Python 3.12.
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk

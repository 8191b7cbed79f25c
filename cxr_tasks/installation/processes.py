"""Work on many items in all cores, results in the order of the items, memory bounded."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import itertools
import math
import multiprocessing
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from cxr_tasks.contracts.errors import ServiceUnavailable
from cxr_tasks.installation.children import allow_children, end_with_parent

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Work that one process does alone rather than wait for others to start.
PATIENCE_S = 1.5
#: Seconds that a worker works on a chunk: so long that handing it over costs little, so short that at the end none
#: works long alone. And how many items it is given at most.
CHUNK_S = 0.04
LARGEST_CHUNK = 128
#: Items of a chunk while nothing is known of how long they take.
FIRST_CHUNK = 16
_N_THREADS = "OPENBLAS_NUM_THREADS"
#: ``mallopt(3)``: options of malloc, and the largest block that the first of them takes on 64 bits.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_KEPT_BYTES = 32 * 2**20


def available_cores() -> int:
    """Cores this process may use, which in a container are often fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_in_processes(
    function: Callable[[list[Item]], list[Result]],
    items: Iterable[Item],
    *,
    n_items: int | Callable[[], int],
    n_workers: int | None = None,
    patience_s: float = PATIENCE_S,
) -> Iterator[Result]:
    """``map_chunks_in_processes``, flattened: a result for every item where ``function`` gives as many as it takes."""
    chunks = map_chunks_in_processes(function, items, n_items=n_items, n_workers=n_workers, patience_s=patience_s)
    return itertools.chain.from_iterable(chunks)


def map_chunks_in_processes(
    function: Callable[[list[Item]], list[Result]],
    items: Iterable[Item],
    *,
    n_items: int | Callable[[], int],
    n_workers: int | None = None,
    patience_s: float = PATIENCE_S,
) -> Iterator[list[Result]]:
    """``function`` of every chunk of ``items``, in order.

    The work begins in this process; worker processes are started once it shows that what is left would take it longer
    than ``patience_s`` seconds, and the rest goes to them when the first is ready. Until then it goes on here: a start
    takes seconds where the main program is a large one, such as Airflow, which every worker imports again.

    ``n_items`` may be a function where their number only shows on the way. ``function`` is defined at the top of a
    module and takes and gives what can be pickled. Workers are started afresh (``spawn``): a forked child of a process
    that runs threads can hang. They are given about ``CHUNK_S`` of work at a time, and at most four chunks each are
    under way, so memory does not grow with the number of items.
    """
    iterator = iter(items)
    n_workers = n_workers or available_cores()
    in_all = n_items if callable(n_items) else lambda: n_items
    n_done, fastest_s = 0, math.inf
    for chunk in _batched(iterator, FIRST_CHUNK):
        begun = time.monotonic()
        yield function(chunk)
        # The fastest is the one in which nothing was imported and nothing else was in the way.
        fastest_s = min(fastest_s, (time.monotonic() - begun) / len(chunk))
        n_done += len(chunk)
        if n_workers > 1 and (in_all() - n_done) * fastest_s > patience_s:
            break
    chunk_size = min(max(int(CHUNK_S / max(fastest_s, 1e-9)), 1), LARGEST_CHUNK)
    yield from _in_workers(function, _batched(iterator, chunk_size), n_workers)


def _in_workers(
    function: Callable[[list[Item]], list[Result]], chunks: Iterator[list[Item]], n_workers: int
) -> Iterator[list[Result]]:
    first = next(chunks, None)
    if first is None:
        return
    chunks = itertools.chain([first], chunks)
    allow_children()
    context = multiprocessing.get_context("spawn")
    with (
        _one_thread_each(),
        ProcessPoolExecutor(n_workers, mp_context=context, initializer=_prepare, initargs=(function,)) as pool,
    ):
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


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes that are started meanwhile have no threads for linear algebra: these cost as much as a start itself."""
    before = os.environ.get(_N_THREADS)
    os.environ[_N_THREADS] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_N_THREADS]
        else:
            os.environ[_N_THREADS] = before


def _prepare(_function: Callable[..., object]) -> None:
    end_with_parent()
    # With the function came all it needs. That is never garbage: frozen, it is not looked through again and again.
    gc.freeze()
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Freed memory stays with this process, to be used again, where its C library can be told so (glibc).

    As it is set at first, the arrays of every chunk go back to the system, which hands them out anew page by page:
    with small X-rays that takes a sixth of a worker's time.
    """
    with contextlib.suppress(OSError, AttributeError):
        set_option = ctypes.CDLL(None).mallopt
        set_option(_M_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES)
        set_option(_M_TRIM_THRESHOLD, 2 * _LARGEST_KEPT_BYTES)


def _batched(iterator: Iterator[Item], size: int) -> Iterator[list[Item]]:
    # itertools.batched needs Python 3.12.
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk

"""One benchmark in a process of its own, so that none inherits another's memory, threads or TensorFlow."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import traceback
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from cxr_tasks.contracts.errors import CxrError
from tests.benchmarks.measure import Row, Setting


class BenchmarkFailed(CxrError):
    """A benchmark did not come to its end; the text holds its traceback."""


def in_own_process(name: str, setting: Setting) -> list[Row]:
    """The rows of benchmark ``name``; ``BenchmarkFailed`` where it did not run to its end."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        try:
            return process.submit(_run, name, setting).result()
        except BrokenProcessPool:
            raise BenchmarkFailed(f"{name}: its process was killed; is there enough memory?") from None


def _run(name: str, setting: Setting) -> list[Row]:
    """What the new process does: all that the platform writes goes under ``scratch``."""
    setting.scratch.mkdir()
    os.environ["CXR_HOME"] = str(setting.scratch / "home")
    try:
        return importlib.import_module(f"tests.benchmarks.{name}").run(setting)
    except Exception:
        # As text: not every exception can be sent to another process, gRPC's cannot.
        raise BenchmarkFailed(f"{name}: {traceback.format_exc()}") from None

"""One benchmark in a process of its own, so that none inherits another's memory, threads or TensorFlow."""

from __future__ import annotations

import importlib
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

from tests.benchmarks.measure import Row, Setting


def in_own_process(name: str, setting: Setting) -> list[Row]:
    """The rows of benchmark ``name``; what it raises is raised here."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(_run, name, setting).result()


def _run(name: str, setting: Setting) -> list[Row]:
    """What the new process does: all that the platform writes goes under ``scratch``."""
    setting.scratch.mkdir()
    os.environ["CXR_HOME"] = str(setting.scratch / "home")
    return importlib.import_module(f"tests.benchmarks.{name}").run(setting)

"""Ingest against nothing but decoding the same files with the same library in the same pool."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cxr_tasks.contracts.paths import RunPaths
from cxr_tasks.contracts.recipes import load_recipe
from cxr_tasks.ingest.inspect import inspect_files
from cxr_tasks.ingest.stage import ingest_source
from cxr_tasks.sources._pool import available_cores, map_in_processes
from tests.benchmarks.bare_decode import decode_files
from tests.benchmarks.data import RECIPE, records_below
from tests.benchmarks.measure import Row, Setting, compare, in_turns, rate

#: What one core would take to decode the files of one measurement; the list is gone through again to get there, as
#: small sets are done before the first worker process has started.
ONE_CORE_S = 6.0
GOAL = 0.85
BARE = "Pillow's decode of the same files to grey, nothing else, in the same pool"


def run(setting: Setting) -> list[Row]:
    files = [(str(setting.data_root), record.image_id) for record in records_below(setting.data_root)]
    one_core_s = len(files) / rate(lambda: len(decode_files(files)))
    many = files if setting.is_quick else files * math.ceil(ONE_CORE_S / one_core_s)
    sides = {
        "inspected": lambda: opened(inspect_files, many),
        "decoded": lambda: opened(decode_files, many),
        "stage": whole_stage(setting.data_root),
        "decoded once": lambda: opened(decode_files, files),
    }
    found = in_turns(sides, min(setting.repetitions, 3))
    return [
        compare(
            "ingest: inspection",
            ours=found["inspected"],
            baseline=found["decoded"],
            unit="img/s",
            goal=GOAL,
            ours_is=f"ingest's inspection (two hashes, checks, grey statistics) of {len(many):,} files, "
            f"{available_cores()} cores",
            baseline_is=BARE,
        ),
        compare(
            "ingest: whole stage",
            ours=found["stage"],
            baseline=found["decoded once"],
            unit="img/s",
            ours_is=f"ingest_source of {len(files)} files: scan, inspection, splits, manifest and quarantine on disk",
            baseline_is=BARE,
        ),
    ]


def opened(function: Callable[[list[Any]], list[Any]], files: list[tuple[str, str]]) -> float:
    """Files per second that go through ``function`` as ingest would put them through it."""
    return rate(lambda: sum(1 for _ in map_in_processes(function, files)))


def whole_stage(root: Path) -> Callable[[], float]:
    """A function that ingests ``root`` in a run of its own, and gives files per second."""
    recipe = load_recipe(RECIPE)
    numbers = itertools.count()

    def ingest_once() -> int:
        ingested = ingest_source(recipe, str(root), RunPaths.for_run("bench", str(next(numbers))))
        return ingested.n_images + ingested.n_quarantined

    return lambda: rate(ingest_once)

"""Ingest against nothing but decoding the same files with the same library in the same pool."""

from __future__ import annotations

import itertools
import os

from PIL import Image

from cxr_tasks.contracts.paths import RunPaths
from cxr_tasks.contracts.recipes import load_recipe
from cxr_tasks.ingest.inspect import inspect_files
from cxr_tasks.sources._pool import available_cores, map_in_processes
from tests.benchmarks.data import RECIPE, records_below
from tests.benchmarks.measure import Row, Setting, compare, in_turns, rate

#: Files a measurement opens, at least; the list is gone through again. Starting the workers must not be what is timed.
LEAST_OPENED = 6000
GOAL = 0.85
BARE = "Pillow's decode of the same files to grey, nothing else, in the same pool"


def decode_files(work: list[tuple[str, str]]) -> list[tuple[int, int]]:
    """The bare decode of every (root, image_id), in a worker process: read, decode, grey."""
    return [_decode(os.path.join(root, image_id)) for root, image_id in work]  # noqa: PTH118 - as ingest does


def _decode(path: str) -> tuple[int, int]:
    with Image.open(path) as picture:
        picture.load()
        grey = picture if picture.mode == "L" else picture.convert("L")
        return grey.size


def run(setting: Setting) -> list[Row]:
    recipe = load_recipe(RECIPE)
    files = [(str(setting.data_root), record.image_id) for record in records_below(setting.data_root)]
    n_times = 1 if setting.is_quick else -(-LEAST_OPENED // len(files))
    many = files * n_times
    numbers = itertools.count()

    def opened(function, work) -> float:
        return rate(lambda: sum(1 for _ in map_in_processes(function, work)))

    def whole_stage() -> float:
        paths = RunPaths.for_run("bench", str(next(numbers)))
        return rate(lambda: _n_opened(ingest_source(recipe, str(setting.data_root), paths)))

    from cxr_tasks.ingest.stage import ingest_source

    sides = {
        "inspected": lambda: opened(inspect_files, many),
        "decoded": lambda: opened(decode_files, many),
        "stage": whole_stage,
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
            ours_is=f"ingest's inspection (two hashes, checks, grey statistics) of {len(many)} files, "
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


def _n_opened(ingested) -> int:
    return ingested.n_images + ingested.n_quarantined

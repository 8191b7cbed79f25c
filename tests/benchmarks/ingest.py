"""Ingest against nothing but decoding the same files with Pillow in the same pool, and its memory as files get many."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from cxr_tasks.contracts.paths import RunPaths
from cxr_tasks.contracts.recipes import load_recipe
from cxr_tasks.ingest.known import entries_of
from cxr_tasks.ingest.part import CHUNK_SIZE
from cxr_tasks.ingest.stage import ingest_source
from cxr_tasks.sources._pool import available_cores, map_in_processes
from tests.benchmarks.bare_decode import decode_files
from tests.benchmarks.data import RECIPE, records_below
from tests.benchmarks.ingest_memory import peak_memory
from tests.benchmarks.measure import Row, Setting, compare, in_turns, rate

#: What one core would take to decode the files of one measurement; the list is gone through again to get there, as
#: small sets are done before the first worker process has started.
ONE_CORE_S = 6.0
GOAL = 0.85
BARE = "Pillow's decode of the same files to grey, nothing else, in the same pool"
#: Short sides of the large pictures, as detectors and scanners give them; below and above what is decoded at a half.
LARGE_SIDES_PX = (1500, 1800, 2100, 2500)
N_LARGE = 48
FEW, MANY = 1000, 20_000

_File = tuple[str, str, str]


def run(setting: Setting) -> list[Row]:
    files = [(str(setting.data_root), record.image_id, "") for record in records_below(setting.data_root)]
    setting.scratch.mkdir(exist_ok=True)
    rows = [_inspection(setting, "ingest: inspection", files)]
    rows.append(_inspection(setting, "ingest: inspection, PNG", _as_png(setting.scratch / "png", files, setting)))
    rows.append(_inspection(setting, "ingest: inspection, large", _large_jpegs(setting.scratch / "large", files)))
    rows += [_whole_stage(setting, files), _memory(setting)]
    return rows


def _inspection(setting: Setting, name: str, files: Sequence[_File]) -> Row:
    one_core_s = len(files) / rate(lambda: len(decode_files(files)))
    many = list(files) if setting.is_quick else list(files) * math.ceil(ONE_CORE_S / one_core_s)
    sides = {"ours": lambda: opened(entries_of, many), "bare": lambda: opened(decode_files, many)}
    found = in_turns(sides, min(setting.repetitions, 3))
    return compare(
        name,
        ours=found["ours"],
        baseline=found["bare"],
        unit="img/s",
        goal=GOAL,
        ours_is=f"ingest's inspection (three hashes, checks, statistics; as ledger rows) of {len(many):,} files, "
        f"{available_cores()} cores",
        baseline_is=BARE,
    )


def _whole_stage(setting: Setting, files: Sequence[_File]) -> Row:
    sides = {
        "stage": whole_stage(setting.data_root, setting.scratch),
        "bare": lambda: opened(decode_files, list(files)),
    }
    found = in_turns(sides, min(setting.repetitions, 3))
    return compare(
        "ingest: whole stage",
        ours=found["stage"],
        baseline=found["bare"],
        unit="img/s",
        ours_is=f"ingest_source of {len(files)} files not seen before: scan, inspection, duplicates, splits, manifest",
        baseline_is=BARE,
    )


def _memory(setting: Setting) -> Row:
    """Peak memory of the main process; the ratio says how little it grows with twenty times the files."""
    few, many = (100, 200) if setting.is_quick else (FEW, MANY)
    peaks = [peak_memory(setting.scratch, n_files)["collect_mib"] for n_files in (many, few)]
    return compare(
        "ingest: memory",
        ours=peaks[:1],
        baseline=peaks[1:],
        unit="MiB",
        less_is_better=True,
        ours_is=f"peak memory of an ingest of {many:,} small files",
        baseline_is=f"of {few:,}; python -m tests.benchmarks.ingest_memory has more",
    )


def _as_png(folder: Path, files: Sequence[_File], setting: Setting) -> list[_File]:
    """Some of ``files`` as PNG."""
    taken = files[:: max(len(files) // (20 if setting.is_quick else 400), 1)]
    return [_saved(folder / f"{number}.png", one) for number, one in enumerate(taken)]


def _large_jpegs(folder: Path, files: Sequence[_File]) -> list[_File]:
    """Some of ``files`` enlarged to ``LARGE_SIDES_PX``."""
    sides = itertools.cycle(LARGE_SIDES_PX)
    taken = files[:: max(len(files) // N_LARGE, 1)][:N_LARGE]
    return [_saved(folder / f"{number}.jpeg", one, next(sides)) for number, one in enumerate(taken)]


def _saved(path: Path, file: _File, short_side: int | None = None) -> _File:
    path.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(Path(file[0]) / file[1]) as picture:
        grey = picture.convert("L")
    if short_side is not None:
        factor = short_side / min(grey.size)
        grey = grey.resize((round(grey.width * factor), round(grey.height * factor)), Image.Resampling.BICUBIC)
    grey.save(path, quality=90)
    return str(path.parent), path.name, ""


def opened(function: Callable[[list[Any]], list[Any]], files: list[_File]) -> float:
    """Files per second that go through ``function`` as ingest would put them through it."""
    return rate(lambda: sum(1 for _ in map_in_processes(function, files, chunk_size=CHUNK_SIZE)))


def whole_stage(root: Path, scratch: Path) -> Callable[[], float]:
    """A function that ingests ``root`` as if for the first time, in a run of its own, and gives files per second."""
    recipe = load_recipe(RECIPE)
    numbers = itertools.count()

    def ingest_once() -> int:
        for ledger in (scratch / "home" / "ingest").glob("*"):
            ledger.unlink()
        ingested = ingest_source(recipe, str(root), RunPaths.for_run("bench", str(next(numbers))))
        return ingested.n_images + ingested.n_quarantined

    return lambda: rate(ingest_once)

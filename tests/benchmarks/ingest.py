"""Ingest against nothing but decoding the same files with Pillow in the same pool, and its memory as files get many."""

from __future__ import annotations

import itertools
import math
import os
import resource
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from cxr_tasks.contracts.recipes import load_recipe
from cxr_tasks.ingest.stage import inspect_part, list_images
from cxr_tasks.installation.processes import available_cores, map_in_processes
from cxr_tasks.installation.storage.paths import RunPaths
from tests.benchmarks.bare_decode import decode_files, load_files
from tests.benchmarks.data import RECIPE, records_below
from tests.benchmarks.ingest_memory import peak_memory, plain_records
from tests.benchmarks.measure import Row, Setting, compare, in_turns, rate
from tests.ingest.folders import ingest_source

#: What one core would take to decode the files of one measurement; the same files stand there under more names to get
#: there, as small sets are done before the first worker process has started.
ONE_CORE_S = 6.0
GOAL = 0.85
BARE = "Pillow's decode of the same files to grey arrays, nothing else, in the same pool"
#: Short sides of the large pictures, as detectors and scanners give them; below and above what is decoded at a half.
LARGE_SIDES_PX = (1500, 1800, 2100, 2500)
N_LARGE = 48
PNG_SIDE_PX = 256
FEW, MANY = 1000, 20_000
#: Images of CheXpert, and what the records of a scan of so many may take.
CHEXPERT, MOST_RECORDS_MIB = 224_316, 100

_File = tuple[str, str, str]


def run(setting: Setting) -> list[Row]:
    files = [(str(setting.data_root), record.image_id, "") for record in records_below(setting.data_root)]
    setting.scratch.mkdir(exist_ok=True)
    kinds = {
        "": files,
        ", PNG": _as_png(setting.scratch / "png", files, setting),
        ", large": _large_jpegs(setting.scratch / "large", files),
    }
    rows = [row for kind, some in kinds.items() for row in _task(setting, kind, some)]
    return [*rows, _whole_stage(setting, files), _memory(setting), _records(setting)]


class _Speed(NamedTuple):
    """Images per second, by the clock and by the time that processors worked."""

    by_clock: float
    by_processor: float


def _task(setting: Setting, kind: str, files: Sequence[_File]) -> list[Row]:
    """The task that inspects a part of a data folder, by the clock and, which a busy machine tells, by processor."""
    one_core_s = len(files) / rate(lambda: len(decode_files(files)))
    n_files = len(files) if setting.is_quick else len(files) * math.ceil(ONE_CORE_S / one_core_s)
    task, many = inspection(setting.scratch, f"task{kind}", files, n_files)
    sides = {
        "task": lambda: speed(task, n_files),
        "arrays": lambda: speed(lambda: through_pool(decode_files, many), n_files),
        "pictures": lambda: speed(lambda: through_pool(load_files, many), n_files),
    }
    found = in_turns(sides, min(setting.repetitions, 2))
    done = f"inspect_part of {n_files:,} files not seen before (hashes, checks, statistics, ledger, table)"
    pictures = f"{BARE}, but as Pillow's pictures, which no arrays are made of"
    return [
        compare(
            f"ingest: inspection{kind}{suffix}",
            ours=[getattr(one, how) for one in found["task"]],
            baseline=[getattr(one, how) for one in found[side]],
            unit="img/s",
            goal=goal,
            ours_is=f"{done}, {by}",
            baseline_is=baseline_is,
        )
        for suffix, side, how, goal, by, baseline_is in (
            ("", "arrays", "by_clock", GOAL, f"{available_cores()} cores", BARE),
            (", cpu", "arrays", "by_processor", GOAL, "per second of processor time", BARE),
            (", no arrays, cpu", "pictures", "by_processor", None, "per second of processor time", pictures),
        )
    ]


def inspection(
    scratch: Path, name: str, files: Sequence[_File], n_files: int
) -> tuple[Callable[[], object], list[_File]]:
    """A function that inspects ``files``, under ``n_files`` names, as if for the first time; and these names."""
    recipe, root = load_recipe(RECIPE), scratch / name
    for number, (folder, image_id, _) in enumerate(itertools.islice(itertools.cycle(files), n_files)):
        split = "train" if number % 5 else "test"
        label, stem = (("NORMAL", "IM-{:06d}-0001"), ("PNEUMONIA", "person{:06d}_virus_1"))[number % 2]
        link = root / split / label / (stem.format(number) + Path(image_id).suffix)
        link.parent.mkdir(parents=True, exist_ok=True)
        os.link(Path(folder) / image_id, link)
    paths = RunPaths.for_run("bench", name)
    plan = list_images(recipe, str(root), paths)

    def inspect() -> None:
        _forget(scratch)
        for part in range(len(plan.parts)):
            inspect_part(recipe, plan, part, paths)

    return inspect, [(str(root), record.image_id, "") for record in records_below(root)]


def through_pool(function: Callable[[list[Any]], list[Any]], files: list[_File]) -> int:
    """How many files went through ``function`` as ingest would put them through it."""
    return sum(1 for _ in map_in_processes(function, files, n_items=len(files)))


def speed(work: Callable[[], object], n_files: int) -> _Speed:
    """Of ``work`` on ``n_files``; its worker processes must have ended with it."""
    begun, used = time.perf_counter(), _processor_s()
    work()
    return _Speed(n_files / (time.perf_counter() - begun), n_files / (_processor_s() - used))


def _processor_s() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def _whole_stage(setting: Setting, files: Sequence[_File]) -> Row:
    sides = {
        "stage": whole_stage(setting.data_root, setting.scratch),
        "bare": lambda: rate(lambda: through_pool(decode_files, list(files))),
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


def _records(setting: Setting) -> Row:
    """Memory of the records of a scan, which listing holds until the last is written."""
    n_records = FEW if setting.is_quick else CHEXPERT
    tracemalloc.start()
    records = plain_records(n_records)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return compare(
        "ingest: records in memory",
        ours=[held / 2**20],
        baseline=[MOST_RECORDS_MIB * n_records / CHEXPERT],
        unit="MiB",
        goal=1.0,
        less_is_better=True,
        ours_is=f"{len(records):,} records of CheXpert by tracemalloc",
        baseline_is=f"a bound of {MOST_RECORDS_MIB} MiB at {CHEXPERT:,}",
    )


def _as_png(folder: Path, files: Sequence[_File], setting: Setting) -> list[_File]:
    """Some of ``files`` as PNG, as small as sets for training are."""
    taken = files[:: max(len(files) // (20 if setting.is_quick else 400), 1)]
    return [_saved(folder / f"{number}.png", one, PNG_SIDE_PX) for number, one in enumerate(taken)]


def _large_jpegs(folder: Path, files: Sequence[_File]) -> list[_File]:
    """Some of ``files`` enlarged to ``LARGE_SIDES_PX``."""
    sides = itertools.cycle(LARGE_SIDES_PX)
    taken = files[:: max(len(files) // N_LARGE, 1)][:N_LARGE]
    return [_saved(folder / f"{number}.jpeg", one, next(sides)) for number, one in enumerate(taken)]


def _saved(path: Path, file: _File, short_side: int) -> _File:
    path.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(Path(file[0]) / file[1]) as picture:
        grey = picture.convert("L")
    factor = short_side / min(grey.size)
    grey = grey.resize((round(grey.width * factor), round(grey.height * factor)), Image.Resampling.BICUBIC)
    grey.save(path, quality=90)
    return str(path.parent), path.name, ""


def whole_stage(root: Path, scratch: Path) -> Callable[[], float]:
    """A function that ingests ``root`` as if for the first time, in a run of its own, and gives files per second."""
    recipe = load_recipe(RECIPE)
    numbers = itertools.count()

    def ingest_once() -> int:
        _forget(scratch)
        ingested = ingest_source(recipe, str(root), RunPaths.for_run("bench", str(next(numbers))))
        return ingested.n_images + ingested.n_quarantined

    return lambda: rate(ingest_once)


def _forget(scratch: Path) -> None:
    """Remove what is known of earlier ingests."""
    for ledger in (scratch / "home" / "ingest").glob("*"):
        ledger.unlink()

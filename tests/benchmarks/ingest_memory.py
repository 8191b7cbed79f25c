"""Peak memory of each step of an ingest, of few and of many small files, each step in a process of its own.

As in Airflow, where every step is a task: so one step's peak does not hide in another's.
``python -m tests.benchmarks.ingest_memory 1000 100000`` prints it for as many files as are named.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from cxr_tasks.contracts.handoffs.dataset import IngestPlan, InspectedPart
from cxr_tasks.contracts.labels import CHEXPERT_SPELLINGS, findings_of
from cxr_tasks.contracts.recipes import load_recipe
from cxr_tasks.installation.storage.paths import PROJECT_ROOT, RunPaths
from cxr_tasks.sources.base import ImageRecord
from cxr_tasks.sources.chexpert.rows import RowReader
from tests.benchmarks.memory_layouts import LAYOUTS

_MIB = 2**20


def measure(root: Path, home: Path, recipe: str) -> dict[str, float]:
    """Peak memory of each step of ingesting ``root``, and of the largest worker process, in MiB; seconds of each."""
    same: dict[str, Any] = {"recipe": recipe, "run": f"{time.time_ns()}"}
    listed = _in_new_process(home, "list", {**same, "root": str(root)})
    plan = listed["result"]
    numbers = range(len(plan["parts"]))
    parts = [_in_new_process(home, "inspect", {**same, "plan": plan, "part": number}) for number in numbers]
    inspected = [one["result"] for one in parts]
    collected = _in_new_process(home, "collect", {**same, "plan": plan, "inspected": inspected})
    return {
        "list_mib": listed["peak_mib"],
        "inspect_mib": max(one["peak_mib"] for one in parts),
        "worker_mib": max(one["worker_mib"] for one in parts),
        "collect_mib": collected["peak_mib"],
        "list_s": listed["seconds"],
        "inspect_s": round(sum(one["seconds"] for one in parts), 1),
        "collect_s": collected["seconds"],
        "n_images": collected["result"]["n_images"],
    }


def peak_memory(folder: Path, n_files: int, layout: str = "kermany") -> dict[str, Any]:
    """``measure`` of ``n_files`` new files below ``folder``, ingested for the first time and then once more."""
    root, home = folder / f"{layout}-{n_files}", folder / f"home-{layout}-{n_files}"
    write_layout, recipe = LAYOUTS[layout]
    write_layout(root, n_files)
    first, again = measure(root, home, recipe), measure(root, home, recipe)
    return {"layout": layout, "n_files": n_files, **first, **{f"again_{name}": value for name, value in again.items()}}


def plain_records(n_records: int) -> list[ImageRecord]:
    """Records as a scan of CheXpert makes them: names of their own, states that rows with equal labels share."""
    reader = RowReader(findings_of("chexpert14"))
    details = {"Sex": "Male", "Frontal/Lateral": "Frontal", "AP/PA": "AP"}
    kinds = list(itertools.islice(itertools.product(["", "1.0", "0.0", "-1.0"], repeat=len(CHEXPERT_SPELLINGS)), 4000))
    records = []
    for number in range(n_records):
        patient, study = divmod(number, 4)
        path = f"CheXpert-v1.0-small/train/patient{patient:05d}/study{study + 1}/view1_frontal.jpg"
        codes = dict(zip(CHEXPERT_SPELLINGS, kinds[number % len(kinds)], strict=True))
        row = reader.read(Path("train.csv"), number, {"Path": path, "Age": str(20 + patient % 70), **details, **codes})
        records.append(
            ImageRecord(
                image_id=row.path.listed,
                patient_id=row.path.patient_id,
                study_id=row.path.study_id,
                states=row.states,
                view=row.view,
                sex=row.sex,
                age_years=row.age_years,
            )
        )
    return records


def _in_new_process(home: Path, step: str, given: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.benchmarks.ingest_memory", "--step", step]
    environment = {**os.environ, "CXR_HOME": str(home)}
    done = subprocess.run(
        command,
        cwd=PROJECT_ROOT,
        env=environment,
        input=json.dumps(given),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def _step(step: str, given: dict[str, Any]) -> dict[str, Any]:
    """What the new process does."""
    from cxr_tasks.ingest.stage import collect_parts, inspect_part, list_images

    recipe, paths = load_recipe(given["recipe"]), RunPaths.for_run("memory", given["run"])
    started = time.monotonic()
    result: IngestPlan | InspectedPart | Any
    with _Workers() as workers:
        if step == "list":
            result = list_images(recipe, given["root"], paths)
        elif step == "inspect":
            result = inspect_part(recipe, IngestPlan.from_payload(given["plan"]), given["part"], paths)
        else:
            inspected = [InspectedPart.from_payload(one) for one in given["inspected"]]
            result = collect_parts(recipe, IngestPlan.from_payload(given["plan"]), inspected, paths)
    return {
        "result": result.to_payload(),
        "peak_mib": _peak_mib(),
        "worker_mib": workers.peak_mib,
        "seconds": round(time.monotonic() - started, 1),
    }


class _Workers:
    """Looks at the worker processes of this one ten times a second; their peak is the largest any had."""

    def __init__(self) -> None:
        self.peak_mib = 0.0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> _Workers:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._is_over.wait(0.1):
            for worker in psutil.Process().children(recursive=True):
                # One that is just ending.
                with contextlib.suppress(psutil.NoSuchProcess):
                    self.peak_mib = max(self.peak_mib, round(worker.memory_info().rss / _MIB, 1))


def _peak_mib() -> float:
    if sys.platform == "linux":
        # What getrusage tells began with the process this one was started by, which held all of a layout's rows.
        fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return round(int(fields["VmHWM"].split()[0]) / 1024, 1)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MIB, 1)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.ingest_memory", description=__doc__)
    parser.add_argument("n_files", nargs="*", type=int, default=[1000, 100_000])
    parser.add_argument("--layout", choices=sorted(LAYOUTS), default="kermany")
    parser.add_argument("--step", choices=["list", "inspect", "collect"], help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.step:
        print(json.dumps(_step(asked.step, json.load(sys.stdin))))
        return
    with tempfile.TemporaryDirectory(prefix="cxr-memory-") as folder:
        for n_files in asked.n_files:
            print(json.dumps(peak_memory(Path(folder), n_files, asked.layout)))


if __name__ == "__main__":
    main()

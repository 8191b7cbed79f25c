"""``python -m tests.benchmarks [names]``: speed of the platform's parts as ratios, a table and ``bench.json``."""

from __future__ import annotations

import argparse
import datetime
import os
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from cxr_tasks.installation.storage.files import write_json
from cxr_tasks.installation.storage.paths import home
from tests.benchmarks.data import lay_out
from tests.benchmarks.isolated import BenchmarkFailed, in_own_process
from tests.benchmarks.machine import machine_facts
from tests.benchmarks.measure import Row, Setting
from tests.benchmarks.show import print_rows

NAMES = (
    "ingest",
    "inputs",
    "train_step",
    "equal_quality",
    "densenet",
    "evaluate",
    "serving",
    "scoring",
    "exports",
    "heat_maps",
)


def main() -> int:
    """0 when all benchmarks ran, whatever they measured; 1 when one failed to run."""
    asked = _arguments()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    console = Console()
    started = time.monotonic()
    machine = machine_facts()
    rows: list[Row] = []
    failures: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="cxr-bench-") as folder:
        root = Path(folder) / "data"
        data = lay_out(root, is_quick=asked.quick)
        console.print(f"{data}; {machine['cores']} cores, load average {machine['load_average_1min']}")
        for name in asked.names:
            begun = time.monotonic()
            try:
                setting = Setting(data_root=root, scratch=Path(folder) / name, is_quick=asked.quick)
                rows += in_own_process(name, setting)
            except BenchmarkFailed as error:
                failures[name] = str(error)
            console.print(f"  {name}: {time.monotonic() - begun:.0f} s")
    print_rows(console, rows, failures)
    if asked.quick:
        console.print("--quick: these figures mean nothing and are not kept", style="dim")
        return 1 if failures else 0
    facts = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "data": data,
        "machine": machine,
        "seconds": round(time.monotonic() - started, 1),
        "rows": [row.to_dict() for row in rows],
        "failures": failures,
    }
    path = home() / "bench.json"
    write_json(path, facts)
    console.print(f"the same, and the machine it was measured on: {path}", style="dim", soft_wrap=True)
    return 1 if failures else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"which ({', '.join(NAMES)}); all where none is named")
    parser.add_argument("--quick", action="store_true", help="do as little as shows that they run")
    asked = parser.parse_args()
    unknown = sorted(set(asked.names) - set(NAMES))
    if unknown:
        parser.error(f"no benchmark is named {', '.join(unknown)}; there are: {', '.join(NAMES)}")
    asked.names = [name for name in NAMES if name in asked.names or not asked.names]
    return asked


if __name__ == "__main__":
    sys.exit(main())

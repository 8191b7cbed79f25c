"""The whole way from drift to a new champion: 30 days of traffic, a shift on day 20, through a stack of its own.

    .venv/bin/python -m tests.benchmarks.thirty_days FOLDER [IMAGES_A_DAY [DAYS]]

Some ten minutes on two free cores, so no part of ``make test``: run it by hand, and look at the pictures in FOLDER. A
version is trained, approved and served; a real server answers each image and its log holds the answers. The clock alone
is made up: answers are dated to the 30 days before today, and so is the first release. ``cxr_monitor`` looks at each
day, or at those of DAYS (such as 6,13,19,20,21) alone, through Airflow; the alarm starts a training by its event, which
goes by gate, approval and release.
"""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from cxr_tasks.installation.settings import StackSettings, client_environment
from cxr_tasks.installation.storage.paths import PROJECT_ROOT
from cxr_tasks.worklist.airflow_api import AirflowApi, DagRun

MODEL, SHIFT_DAY, N_DAYS = "cxr_binary", 20, 30
LIMIT_S = 2400.0


def main() -> None:
    folder = Path(sys.argv[1]).absolute()
    a_day = int(sys.argv[2]) if len(sys.argv) > 2 else 60
    days = [int(one) for one in sys.argv[3].split(",")] if len(sys.argv) > 3 else list(range(1, N_DAYS))
    folder.mkdir(parents=True, exist_ok=True)
    with stack(folder) as settings:
        api = AirflowApi(settings)
        first = datetime.now(UTC).date() - timedelta(days=N_DAYS)
        release_first(settings, api, first)
        serve(settings, a_day, first, folder)
        alarm = look_daily(api, first, days)
        show(settings, folder, alarm)
        say("waiting for the training that the alarm asked for")
        new = answer_question(api, 2)
        wait_for(lambda: served(settings) == 2, "version 2 serves")
        say(f"version {new} serves")
        show(settings, folder, alarm, "after")
        subprocess.run([Path(sys.executable).parent / "cxr", "metrics"], check=True)


def say(text: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", flush=True)


@contextmanager
def stack(folder: Path) -> Iterator[StackSettings]:
    """Airflow, MLflow and the embedded server on free ports, with a run-time folder below ``folder``."""
    from serving.check.server_process import free_port

    ports = {f"CXR_{name}_PORT": str(free_port()) for name in ("AIRFLOW", "MLFLOW", "GRPC", "REST")}
    told = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Told)
    threading.Thread(target=told.serve_forever, daemon=True).start()
    os.environ |= {
        **ports, "CXR_HOME": str(folder / "var"), "CXR_RETRAIN_ON_DRIFT": f"{MODEL}:30",
        "CXR_MONITOR_CRON": "", "CXR_PRUNE_CRON": "", "CXR_NOTIFY": f"json://127.0.0.1:{told.server_port}/",
        # A look has 12 seconds, so that a deadline or two is missed.
        "CXR_DEADLINE_SHARE": "0.0002",
    }  # fmt: skip
    command = [sys.executable, "-m", "cxr_tasks.stack"]
    try:
        subprocess.run([*command, "up"], check=True, cwd=PROJECT_ROOT)
        settings = StackSettings.load()
        os.environ.update(client_environment(settings))
        yield settings
    finally:
        subprocess.run([*command, "down"], check=True, cwd=PROJECT_ROOT)


class Told(http.server.BaseHTTPRequestHandler):
    """Prints what ``CXR_NOTIFY`` is told."""

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        say(f"TOLD {message['title']}\n    " + message["message"].replace("\n", "\n    "))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """What it says is printed already."""


def release_first(settings: StackSettings, api: AirflowApi, first: date) -> None:
    """Version 1, trained for three epochs and approved; released as if it had been before ``first``."""
    from cxr_tasks.registry import versions
    from cxr_tasks.registry.audit import trail
    from serving.release.stage import publish_version

    api.wait_for_dags(("cxr_dataset_binary", "cxr_release"), LIMIT_S)
    pause(api, "cxr_release", True)
    api.trigger("cxr_dataset_binary", {"recipe": "synthetic_binary", "epochs": 3, "gate_floor": 0.6})
    answer_question(api, 1)
    wait_for(lambda: versions.version_with_alias(MODEL, versions.CHAMPION) is not None, "version 1 is champion")

    class Then(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.combine(first, datetime.min.time(), UTC)

    trail.datetime = Then  # type: ignore[attr-defined,misc]
    try:
        publish_version(versions.registered_model(MODEL, 1), settings)
    finally:
        trail.datetime = datetime  # type: ignore[attr-defined]
    pause(api, "cxr_release", False)
    say("version 1 serves")


def serve(settings: StackSettings, a_day: int, first: date, folder: Path) -> None:
    """Ask the server about fresh phantoms of each day, from ``SHIFT_DAY`` on with a fifth less contrast."""
    from cxr_tasks.contracts.recipes import load_recipe
    from cxr_tasks.contracts.shapes import build
    from cxr_tasks.predictions.log import append_rows, model_folder, read_log
    from cxr_tasks.sources.phantoms.layouts.options import SyntheticOptions
    from cxr_tasks.sources.synthetic import write_phantoms
    from serving.client import CxrClient

    options = load_recipe("synthetic_binary").dataset.options
    write_phantoms(folder / "traffic", build(SyntheticOptions, {**options, "n_images": N_DAYS * a_day, "seed": 7}, ""))
    files = sorted(
        (folder / "traffic").rglob("*.jpeg"), key=lambda path: hashlib.sha256(path.name.encode()).hexdigest()
    )
    images = [path.read_bytes() for path in files]
    images = [less_contrast(one) if number // a_day >= SHIFT_DAY else one for number, one in enumerate(images)]
    began = time.monotonic()
    with CxrClient(settings.grpc_address) as client:
        for image in images:  # one by one: the order in the log is that of the days
            client.predict(MODEL, image)
    say(f"{len(images)} images answered in {time.monotonic() - began:.0f} s")
    today = datetime.now(UTC).date()
    wait_for(lambda: len(read_log(MODEL, today, today)) >= len(images), "the log holds all answers")
    rows = read_log(MODEL, today, today).to_dict("records")[-len(images) :]
    for path in model_folder(MODEL).glob(f"{today}/*.parquet"):
        path.unlink()
    for number, row in enumerate(rows):
        row["time"] = datetime.combine(first + timedelta(days=number // a_day), datetime.min.time(), UTC) + timedelta(
            hours=8, seconds=number % a_day
        )
    append_rows(rows)
    size = sum(path.stat().st_size for path in model_folder(MODEL).rglob("*.parquet"))
    say(f"the log: {len(rows)} rows, {size} bytes in files of {a_day} rows")


def less_contrast(image: bytes) -> bytes:
    from PIL import Image

    picture, stream = Image.open(io.BytesIO(image)).convert("L"), io.BytesIO()
    picture.point([round(128 + 0.8 * (grey - 128)) for grey in range(256)]).save(stream, "PNG")
    return stream.getvalue()


def look_daily(api: AirflowApi, first: date, days: list[int]) -> str:
    """Look at each of ``days`` through Airflow; the address of the page of the look that raised the alarm."""
    for number in days:
        day = first + timedelta(days=number)
        run = api.trigger("cxr_monitor", {"model": MODEL, "day": day.isoformat()})
        ended(api, run)
        look = next(task for task in api.tasks(run) if task.task_id == "look")
        report = api.xcom(look)
        say(f"day {number}: {report['verdict']}, {report['n_images']} images, {', '.join(report['names'][:3])}")
        if report["is_new_episode"]:
            assert number >= SHIFT_DAY, "a false alarm"
            assert report["retrain"]
            say(f"alarm on day {number}, {number - SHIFT_DAY + 1} days after the shift")
            return str(report["address"])
    raise AssertionError("no alarm in 30 days")


def answer_question(api: AirflowApi, version: int) -> int:
    """Approve version ``version`` when a person is asked."""
    wait_for(lambda: bool(api.waiting("cxr_promote")), f"version {version} waits for an answer")
    (question,) = api.waiting("cxr_promote")
    say(str(api.question(question)["subject"]))
    api.answer(question, "Approve", {"reason": "thirty days"})
    return version


def pause(api: AirflowApi, dag_id: str, is_paused: bool) -> None:
    api.calls.call("PATCH", f"/dags/{dag_id}", json={"is_paused": is_paused})


def ended(api: AirflowApi, run: DagRun) -> None:
    wait_for(lambda: api.run(run.dag_id, run.run_id).state in ("success", "failed"), f"{run.run_id} ends")
    assert api.run(run.dag_id, run.run_id).state == "success", run


def served(settings: StackSettings) -> int | None:
    from serving.served.state import read_state

    return read_state(MODEL).stable


def wait_for(is_so: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < end, f"waited for {what}"
        time.sleep(1)


def show(settings: StackSettings, folder: Path, alarm: str, when: str = "alarm") -> None:
    """Pictures of the pages, as a person who is logged in sees them."""
    from playwright.sync_api import sync_playwright

    from tests.end_to_end.conftest import SWITCHES, logged_in

    pages = {
        "look": alarm,
        "version": f"{alarm.rsplit('/', 2)[0]}/index.html",
        "all": "/cxr/monitor/index.html",
        "requests": "/cxr/requests",
        "monitor_runs": "/dags/cxr_monitor",
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=SWITCHES)
        with logged_in(browser, settings) as page:
            for name, address in pages.items():
                page.goto(f"{settings.airflow_url}{address}")
                page.wait_for_timeout(3000)
                page.screenshot(path=str(folder / f"{when}_{name}.png"), full_page=True)
        browser.close()


if __name__ == "__main__":
    main()

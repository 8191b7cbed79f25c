"""The whole way from drift to new champions: 30 days of traffic, a shift on day 20, through a stack of its own.

    .venv/bin/python -m tests.benchmarks.thirty_days FOLDER [IMAGES_A_DAY [DAYS]]

Some ten minutes on two free cores, so no part of ``make test``: run it by hand, and look at the pictures in FOLDER. A
version is trained, approved and served; a real server answers each image and its log holds the answers. The clock alone
is made up: answers are dated to the 30 days before today, and so is the first release. ``cxr_monitor`` looks at each
day, or at those of DAYS (such as 6,13,19,20,21) alone, through Airflow; the alarm starts a training by its event, which
goes by gate, approval and release. Labels of the first days come back in a spreadsheet's table by ``cxr_feedback``:
what they say of the version is measured, and the version calibrated anew goes the same way. It ends with what came of
each request, and fails where an alarm was told twice, or a run that took long was not.
"""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.worklist.airflow_api import AirflowApi, DagRun
from tests.own_stack import own_stack

MODEL, SHIFT_DAY, N_DAYS = "cxr_binary", 20, 30
LIMIT_S = 2400.0
#: Answers that the server's log is let fall behind by: fewer than it holds.
UNWRITTEN = 400
DAGS = ("dataset_binary", "train_binary", "promote", "release", "monitor", "feedback", "report")


def main() -> None:
    folder = Path(sys.argv[1]).absolute()
    a_day = int(sys.argv[2]) if len(sys.argv) > 2 else 60
    days = [int(one) for one in sys.argv[3].split(",")] if len(sys.argv) > 3 else list(range(1, N_DAYS))
    folder.mkdir(parents=True, exist_ok=True)
    with stack(folder) as settings:
        api = AirflowApi(settings)
        first = datetime.now(UTC).date() - timedelta(days=N_DAYS)
        release_first(settings, api, first)
        images = serve(settings, a_day, first, folder)
        alarm = look_daily(api, first, days)
        show(settings, folder, alarm)
        take_labels_back(api, labels_of(images[: SHIFT_DAY * a_day], a_day, first, folder), folder)
        approve_until_all_is_done(api)
        show(settings, folder, alarm, "after")
        for command in (["runs"], ["history", MODEL], ["models"], ["metrics"]):
            subprocess.run([Path(sys.executable).parent / "cxr", *command], check=True)
        check_what_was_told(days)


def say(text: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", flush=True)


@contextmanager
def stack(folder: Path) -> Iterator[StackSettings]:
    """A stack of its own, which tells all it has to tell to this process."""
    told = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Told)
    threading.Thread(target=told.serve_forever, daemon=True).start()
    variables = {
        "CXR_RETRAIN_ON_DRIFT": f"{MODEL}:30", "CXR_MONITOR_CRON": "", "CXR_PRUNE_CRON": "",
        "CXR_NOTIFY": f"json://127.0.0.1:{told.server_port}/",
        # A look has 3 seconds, which none keeps.
        "CXR_DEADLINE_SHARE": "0.00005",
    }  # fmt: skip
    with own_stack(folder / "var", **variables) as settings:
        yield settings
    told.shutdown()
    told.server_close()


class Told(http.server.BaseHTTPRequestHandler):
    """Prints what ``CXR_NOTIFY`` is told, and keeps the titles."""

    titles: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.titles.append(message["title"])
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

    api.wait_for_dags(tuple(f"cxr_{name}" for name in DAGS), LIMIT_S)
    pause(api, "cxr_release", True)
    api.trigger("cxr_dataset_binary", {"recipe": "synthetic_binary", "epochs": 3, "gate_floor": 0.6})
    wait_for(lambda: approve(api), "version 1 waits for an answer", api)
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


def serve(settings: StackSettings, a_day: int, first: date, folder: Path) -> list[Path]:
    """Ask the server about fresh phantoms of each day, a fifth less contrast from ``SHIFT_DAY`` on; their files."""
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
    began, today = time.monotonic(), datetime.now(UTC).date()
    with CxrClient(settings.grpc_address) as client:
        for number, image in enumerate(images, start=1):  # one by one: the order in the log is that of the days
            client.predict(MODEL, image)
            # A writer that is given no processor for long loses what is too much to wait, and says so.
            if number % UNWRITTEN == 0 or number == len(images):
                wait_for(lambda n=number: len(read_log(MODEL, today, today)) >= n, f"the log holds {number} answers")
    say(f"{len(images)} images answered and written in {time.monotonic() - began:.0f} s")
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
    return files


def less_contrast(image: bytes) -> bytes:
    from PIL import Image

    picture, stream = Image.open(io.BytesIO(image)).convert("L"), io.BytesIO()
    picture.point([round(128 + 0.8 * (grey - 128)) for grey in range(256)]).save(stream, "PNG")
    return stream.getvalue()


def look_daily(api: AirflowApi, first: date, days: list[int]) -> str:
    """Look at each of ``days`` through Airflow; the address of the page of the look that raised the one alarm."""
    alarms = []
    for number in days:
        day = first + timedelta(days=number)
        run = api.trigger("cxr_monitor", {"model": MODEL, "day": day.isoformat()})
        ended(api, run)
        look = next(task for task in api.tasks(run) if task.task_id == "look")
        report = api.xcom(look)
        say(f"day {number}: {report['verdict']}, {report['n_images']} images, {', '.join(report['names'][:3])}")
        if report["is_new_episode"]:
            say(f"alarm on day {number}, {number - SHIFT_DAY + 1} days after the shift")
            assert number >= SHIFT_DAY and report["retrain"]
            alarms.append(str(report["address"]))
    assert len(alarms) == 1, alarms
    return alarms[0]


def labels_of(files: list[Path], a_day: int, first: date, folder: Path) -> Path:
    """What a reader says of all positive images and of every third other one, as a spreadsheet saves it: so more are
    ill among them than were among the version's own, and its probabilities are off."""
    lines, n_others = ["File;Finding;Label;Who;When;Patient"], 0
    for number, file in enumerate(files):
        is_positive = "PNEUMONIA" in file.parts
        n_others += not is_positive
        if is_positive or n_others % 3 == 0:
            day = first + timedelta(days=number // a_day + 1)
            label = "Positive" if is_positive else "Negative"
            lines.append(
                f"{file.relative_to(folder)};Pneumonia;{label};Reader A;{day:%d.%m.%Y} 14:30;patient {number // 2}"
            )
    path = folder / "labels.csv"
    path.write_text("\r\n".join(lines), encoding="utf-8-sig")
    say(f"labels of {len(lines) - 1} images come back")
    return path


def take_labels_back(api: AirflowApi, table: Path, folder: Path) -> None:
    """Through ``cxr_feedback``, with the images, and with the wish to calibrate the version anew."""
    from cxr_tasks.contracts.shapes import build
    from cxr_tasks.feedback.stage import Feedback, selection_words, table_of

    conf = {"model": MODEL, "file": str(table), "images": str(folder / "traffic"), "recalibrate": True}
    run = api.trigger("cxr_feedback", conf)
    ended(api, run)
    take = next(task for task in api.tasks(run) if task.task_id == "take")
    feedback = build(Feedback, api.xcom(take), "feedback")
    for row in table_of(feedback):
        say("  ".join(row.values()))
    say(selection_words(feedback.findings[0]))
    assert feedback.calibration_only and feedback.n_images


def approve_until_all_is_done(api: AirflowApi) -> None:
    """Both ways: the training that the alarm asked for, and the version calibrated anew."""
    from cxr_tasks.worklist.store import Worklist

    def is_done() -> bool:
        approve(api)
        worklist = Worklist()
        is_idle = not worklist.listing(states=("waiting", "started"))
        return is_idle and len(worklist.listing(kind="training", model=MODEL)) >= 3

    wait_for(is_done, "three trainings, and nothing left to do", api)


def approve(api: AirflowApi) -> bool:
    """Approve what a person is asked for; whether there was a question."""
    questions = api.waiting("cxr_promote")
    for question in questions:
        say(str(api.question(question)["subject"]))
        api.answer(question, "Approve", {"reason": "thirty days"})
    return bool(questions)


def check_what_was_told(days: list[int]) -> None:
    counts = Counter(Told.titles)
    say(f"told: {dict(counts)}")
    assert [n for title, n in counts.items() if title.endswith("drifts")] == [1]
    assert counts["Chest X-rays: cxr_monitor takes long"] == len(days)


def pause(api: AirflowApi, dag_id: str, is_paused: bool) -> None:
    api.calls.call("PATCH", f"/dags/{dag_id}", json={"is_paused": is_paused})


def ended(api: AirflowApi, run: DagRun) -> None:
    wait_for(lambda: api.run(run.dag_id, run.run_id).state == "success", f"{run.run_id} ends", api)


def wait_for(is_so: Callable[[], bool], what: str, api: AirflowApi | None = None) -> None:
    """Until ``is_so``; a run that failed meanwhile ends the waiting at once."""
    began, end = datetime.now(UTC), time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < end, f"waited for {what}"
        failed = [one["dag_id"] for one in api.runs_changed_since(began) if one["state"] == "failed"] if api else []
        assert not failed, f"waited for {what}, and {', '.join(failed)} failed"
        time.sleep(2)


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

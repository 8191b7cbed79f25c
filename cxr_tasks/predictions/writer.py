"""The process that describes served images and writes the prediction log, beside the server and behind it in turn.

The server sends frames on standard input (:mod:`cxr_tasks.predictions.frames`). Decoding and statistics cost about as
much as an answer; here they hold no lock of the server's, and run at low priority. The end of the input is the end.
"""

from __future__ import annotations

import hashlib
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cxr_tasks.predictions.columns import LOG_COLUMNS, decision_column, probability_column
from cxr_tasks.predictions.describe import ImageFacts, image_facts
from cxr_tasks.predictions.frames import Frame, WriterSettings, read_frames
from cxr_tasks.predictions.log import LogBounds, append_rows, remove_old

log = logging.getLogger(__name__)

#: Rows are kept in memory as long as the disk does not take them; beyond so many the oldest go.
MOST_WAITING = 20_000
ROWS_A_FILE = 5_000
NICENESS = 10


class Writer:
    """Takes frames, gives files."""

    def __init__(
        self, settings: WriterSettings, clock: Callable[[], float] = time.monotonic,
        append: Callable[[list[dict[str, Any]], Path], None] = append_rows,
    ):  # fmt: skip
        self._settings, self._clock, self._append = settings, clock, append
        self._left_out = frozenset(settings.left_out)
        self._rows: list[dict[str, Any]] = []
        self._since = clock()
        self._swept: dict[str, str] = {}
        self._has_complained = False

    def take(self, frame: Frame) -> None:
        """Describe the frame's images and keep its rows for the next file."""
        asked = [hashlib.sha256(image).hexdigest() not in self._left_out for image in frame.images]
        facts = iter(image_facts([image for image, is_asked in zip(frame.images, asked, strict=True) if is_asked]))
        if not self._rows:
            self._since = self._clock()
        lost = frame.n_lost_before
        for place, is_asked in enumerate(asked):
            if is_asked:
                self._rows.append({**row_of(frame, place, next(facts)), "n_lost_before": lost})
                lost = 0

    def write_if_due(self, *, at_once: bool = False) -> None:
        """Write what waits, once it is old enough or much; a disk that does not take it is told of once."""
        due = at_once or len(self._rows) >= ROWS_A_FILE or self._clock() - self._since >= self._settings.flush_s
        if not self._rows or not due:
            return
        self._since = self._clock()
        try:
            self._append(self._rows, Path(self._settings.folder))
        except OSError as error:
            self._complain(error)
            if len(self._rows) > MOST_WAITING:
                self._rows = self._rows[-MOST_WAITING:]
            return
        models = {str(row["model"]) for row in self._rows}
        self._has_complained, self._rows = False, []
        self._sweep(models)

    def _sweep(self, models: set[str]) -> None:
        """Remove what is beyond the bounds, once a day for each model; what cannot be removed stays until tomorrow."""
        bounds = LogBounds(days=self._settings.days, max_bytes=self._settings.max_bytes)
        today = datetime.now(UTC).date()
        for model in sorted(models):
            if self._swept.get(model) == today.isoformat():
                continue
            self._swept[model] = today.isoformat()
            try:
                remove_old(model, bounds, today, Path(self._settings.folder))
            except OSError as error:
                log.warning("prediction log: old days of %s cannot be removed: %s", model, error)

    def _complain(self, error: OSError) -> None:
        if not self._has_complained:
            log.warning(
                "prediction log %s: expected to write, found: %s; the newest %d rows wait in memory, requests are "
                "answered as before",
                self._settings.folder, error, MOST_WAITING,
            )  # fmt: skip
        self._has_complained = True


def row_of(frame: Frame, place: int, facts: ImageFacts) -> dict[str, Any]:
    """One row of the log: of the image at ``place`` of the frame."""
    row: dict[str, Any] = {
        "time": datetime.fromtimestamp(frame.time_s, UTC),
        "request_id": frame.request_id,
        "image": place,
        "model": frame.model,
        "version": frame.version,
        "label": frame.label,
        "logged_by": frame.logged_by,
        "refused": frame.refused[place],
        "typicality": frame.typicality[place],
        **asdict(facts),
        "n_lost_before": 0,
    }
    for number, finding in enumerate(frame.findings):
        row[probability_column(finding)] = frame.probabilities[place][number]
        row[decision_column(finding)] = frame.decisions[place][number]
    return {**{name: row[name] for name in LOG_COLUMNS}, **row}


def main() -> None:
    """Write what comes on standard input until it ends."""
    # A stop of the whole group is for the server to obey: it sends what waits, then the input ends.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s prediction-log] %(message)s")
    os.nice(NICENESS)
    os.umask(0o077)
    stream = sys.stdin.buffer
    settings = WriterSettings.read(stream)
    if settings is None:
        return
    frames: queue.Queue[Frame | None] = queue.Queue(4)

    def read() -> None:
        for frame in read_frames(stream):
            frames.put(frame)
        frames.put(None)

    threading.Thread(target=read, name="read", daemon=True).start()
    writer = Writer(settings)
    while True:
        try:
            frame = frames.get(timeout=max(settings.flush_s / 4, 0.05))
        except queue.Empty:
            writer.write_if_due()
            continue
        if frame is None:
            break
        try:
            writer.take(frame)
        except Exception:
            # One odd request must not end the log of all others.
            log.exception("a prediction could not be described and is left out")
        writer.write_if_due()
    writer.write_if_due(at_once=True)


if __name__ == "__main__":
    main()

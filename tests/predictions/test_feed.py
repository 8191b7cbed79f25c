"""From an answer to a file, by the real writer process; and when disk or writer are lost."""

from __future__ import annotations

import hashlib
import math
import sys
import threading
import uuid
from datetime import timedelta

import pytest

from cxr_tasks.predictions import feed as feeding
from cxr_tasks.predictions.feed import PredictionFeed
from cxr_tasks.predictions.frames import Frame, WriterSettings
from cxr_tasks.predictions.log import append_rows, read_log
from cxr_tasks.predictions.writer import MOST_WAITING, Writer
from tests.image_files import encoded, smooth
from tests.predictions.served_rows import AT, make_row
from tests.waiting import PATIENCE_S, wait_until

PICTURE = encoded(smooth(120, 90, seed=5), "PNG")
SMOKE = encoded(smooth(80, 80, seed=6), "PNG")


def make_frame(images=(PICTURE,), n_lost=0, **changes) -> Frame:
    n = len(images)
    given = {
        "time_s": AT.timestamp(),
        "request_id": str(uuid.uuid4()),
        "model": "cxr_binary",
        "version": 3,
        "label": "stable",
        "logged_by": "server",
        "findings": ("pneumonia",),
        "probabilities": ((0.25,),) * n,
        "decisions": ((False,),) * n,
        "refused": (False,) * n,
        "typicality": (math.nan,) * n,
        "images": tuple(images),
        "n_lost_before": n_lost,
    }
    return Frame(**{**given, **changes})


def settings(folder, **changes) -> WriterSettings:
    given = {"folder": str(folder), "days": 10_000, "max_bytes": 1 << 30, "flush_s": 0.1}
    return WriterSettings(**{**given, **changes})


def frame_of(frame, n_lost):
    return make_frame(frame.images, n_lost, request_id=frame.request_id)


def test_what_is_offered_is_in_the_log_with_what_ingest_would_say(cxr_home, tmp_path):
    from cxr_tasks.ingest.inspection.inspect import open_files

    (tmp_path / "one.png").write_bytes(PICTURE)
    expected = open_files([(str(tmp_path), "one.png", "")])[0].found
    feed = PredictionFeed(
        settings(cxr_home / "predictions", left_out=(hashlib.sha256(SMOKE).hexdigest(),)), frame_of, stop_s=120
    )
    feed.start()
    feed.offer(make_frame([PICTURE, SMOKE, b"no picture"]), 100)
    feed.stop()
    found = read_log("cxr_binary", AT.date(), AT.date())
    assert found["image"].tolist() == [0, 2]  # the smoke test's picture is nobody's
    first, second = (found.iloc[place] for place in (0, 1))
    for name in ("pixel_hash", "mean", "deviation", "entropy", "sharpness", "border_fraction", "width_px", "flags"):
        assert first[name] == getattr(expected, name), name
    assert second["pixel_hash"] == "" and math.isnan(second["mean"])
    assert set(found) >= {"probability_pneumonia", "decision_pneumonia"}
    assert not [name for name in found if "image_bytes" in name or "path" in name or "patient" in name]


def test_a_writer_that_ends_is_started_again_and_what_was_lost_is_told(cxr_home, tmp_path):
    mark = tmp_path / "once"
    dies_once = f"import os,sys; p={str(mark)!r}\nif not os.path.exists(p): open(p,'w'); sys.exit(3)\n"
    command = (sys.executable, "-c", dies_once + "from cxr_tasks.predictions.writer import main; main()")
    feed = PredictionFeed(settings(cxr_home / "predictions"), frame_of, command, again_s=0.01, stop_s=120)
    feed.start()

    def is_told() -> bool:
        # More than a pipe holds, so that the end of the first writer is noticed.
        feed.offer(make_frame([PICTURE] * 20), 1000)
        found = read_log("cxr_binary", AT.date(), AT.date())
        return len(found) > 0 and found["n_lost_before"].sum() > 0

    wait_until(is_told, "what was lost is told")
    feed.stop()
    assert read_log("cxr_binary", AT.date(), AT.date())["n_lost_before"].sum() >= 1


def test_nobody_waits_for_a_writer_that_hangs(cxr_home):
    """Requests beyond the bound are lost and counted; offering stays as quick as taking a lock."""
    command = (sys.executable, "-c", "import time; time.sleep(600)")
    feed = PredictionFeed(settings(cxr_home), frame_of, command, stop_s=0.05)
    feed.start()
    done = threading.Event()

    def offer_many():
        for _ in range(2000):
            feed.offer(make_frame([b"x" * 70_000]), 70_000)
        done.set()

    threading.Thread(target=offer_many, daemon=True).start()
    assert done.wait(PATIENCE_S)  # it comes to an end at all: a feed that waits never would
    assert feed._n_lost > 900
    assert feed._n_bytes <= feeding.WAITING_BYTES
    feed.stop()


def test_a_full_disk_is_told_of_once_and_the_rows_come_when_there_is_room(cxr_home, caplog):
    is_full = True

    def append(rows, folder):
        if is_full:
            raise OSError(28, "No space left on device")
        append_rows(rows, folder)

    now = [0.0]
    writer = Writer(settings(cxr_home / "predictions", flush_s=1.0), lambda: now[0], append)
    for _ in range(3):
        writer.take(make_frame())
        now[0] += 2
        writer.write_if_due()
    assert caplog.text.count("No space left") == 1
    is_full = False
    now[0] += 2
    writer.write_if_due()
    assert len(read_log("cxr_binary", AT.date(), AT.date())) == 3


def test_days_that_cannot_be_removed_do_not_have_rows_written_again(cxr_home, tmp_path, caplog):
    folder, written = cxr_home / "predictions", []

    def append(rows, folder):
        written.extend(rows)
        append_rows(rows, folder)

    append_rows([{**make_row(), "time": AT - timedelta(days=9)}], folder)
    (old,) = (folder / "cxr_binary").iterdir()
    old.rename(tmp_path / "elsewhere")
    old.symlink_to(tmp_path / "elsewhere")  # a disk that was full, and a day moved to another
    now = [0.0]
    writer = Writer(settings(folder, days=1, flush_s=1.0), lambda: now[0], append)
    for _ in range(2):
        writer.take(make_frame())
        now[0] += 2
        writer.write_if_due()
    assert len(written) == 2 and caplog.text.count("cannot be removed") == 1


@pytest.mark.parametrize("n", [MOST_WAITING + 1000])
def test_rows_that_wait_have_a_bound(cxr_home, n):
    def append(rows, folder):
        raise OSError(5, "Input/output error")

    now = [0.0]
    writer = Writer(settings(cxr_home, flush_s=1.0), lambda: now[0], append)
    writer._rows = [{"model": "cxr_binary", "number": number} for number in range(n)]
    now[0] = 2
    writer.write_if_due()
    assert len(writer._rows) == MOST_WAITING and writer._rows[-1]["number"] == n - 1

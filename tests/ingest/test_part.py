from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.handoffs.dataset import InspectedPart
from cxr_tasks.ingest import ledger_rows, part
from cxr_tasks.ingest.inspection import inspect
from cxr_tasks.ingest.ledger import open_ledger
from cxr_tasks.ingest.listing import list_images
from cxr_tasks.ingest.part import inspect_part
from cxr_tasks.installation.storage.files import verified_path
from cxr_tasks.installation.storage.paths import RunPaths
from tests.waiting import wait_until

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def ingest_once(xrays, recipe, cxr_home):
    """Lists and inspects ``xrays`` in a run of its own; gives the handoff and the usable images."""

    def once(run: str) -> tuple[InspectedPart, pd.DataFrame]:
        paths = RunPaths.for_run("d", run)
        inspected = inspect_part(recipe, list_images(recipe, str(xrays), paths), 0, paths)
        return inspected, pd.read_parquet(verified_path(inspected.images))

    return once


@pytest.fixture
def opened(monkeypatch):
    """Names of the files that were decoded, in a list that fills."""
    names = []
    look_at = inspect._look_at

    def noted(root, image_id, *how):
        found = look_at(root, image_id, *how)
        if not (isinstance(found, inspect.Opened) and found.found is None):
            names.append(image_id)
        return found

    monkeypatch.setattr(inspect, "_look_at", noted)
    return names


def test_unchanged_files_are_not_opened_again(ingest_once, opened, caplog):
    first, table = ingest_once("r1")
    assert (first.n_usable, first.n_refused, first.n_reused) == (68, 0, 0)
    assert len(opened) == 68
    with caplog.at_level(logging.INFO):
        again, same = ingest_once("r2")
    assert len(opened) == 68
    assert again.n_reused == 68
    assert again.images.sha256 == first.images.sha256
    assert "68 of 68 images are as they were" in caplog.text
    pd.testing.assert_frame_equal(table, same)
    assert InspectedPart.from_payload(again.to_payload()) == again


def test_new_and_changed_files_are_opened_and_touched_ones_only_read(xrays, ingest_once, opened, picture):
    ingest_once("r1")
    changed, touched, *_ = sorted((xrays / "train" / "NORMAL").iterdir())
    picture(900).save(changed)
    os.utime(touched, ns=(1, 1))
    picture(901).save(xrays / "train" / "NORMAL" / "IM-0900-0001.jpeg")
    del opened[:]
    inspected, table = ingest_once("r2")
    assert opened == [f"train/NORMAL/{changed.name}", "train/NORMAL/IM-0900-0001.jpeg"]
    assert (inspected.n_usable, inspected.n_reused) == (69, 66)
    del opened[:]
    inspected, same = ingest_once("r3")  # and now all are known, the touched one at its new time
    assert (opened, inspected.n_reused) == ([], 69)
    pd.testing.assert_frame_equal(table, same)


def test_a_file_changed_at_the_same_size_and_time_is_the_price(xrays, ingest_once):
    """What the rule cannot see; size and time are what rsync and make go by, too."""
    _, table = ingest_once("r1")
    path = xrays / table["image_id"][0]
    state = path.stat()
    path.write_bytes(bytes(state.st_size))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert ingest_once("r2")[0].n_reused == 68


def test_refusals_of_content_are_reused_and_those_of_access_are_not(xrays, ingest_once, opened):
    folder = xrays / "train" / "NORMAL"
    (folder / "IM-0900-0001.jpeg").write_bytes(b"<html>")
    (folder / "IM-0901-0001.jpeg").symlink_to("nowhere.jpeg")
    ingest_once("r1")
    del opened[:]
    inspected, _ = ingest_once("r2")
    assert opened == ["train/NORMAL/IM-0901-0001.jpeg"]
    refused = pd.read_parquet(verified_path(inspected.refusals))
    assert refused["reason"].tolist() == ["not_an_image", "missing_file"]


def test_another_version_of_the_inspection_opens_all_again(ingest_once, opened, monkeypatch):
    ingest_once("r1")
    for module in (ledger_rows, part):
        monkeypatch.setattr(module, "VERSION", "another")
    del opened[:]
    assert ingest_once("r2")[0].n_reused == 0
    assert len(opened) == 68
    assert ingest_once("r3")[0].n_reused == 68


def test_a_listing_that_was_changed_is_noticed(xrays, recipe, cxr_home):
    paths = RunPaths.for_run("d", "r")
    plan = list_images(recipe, str(xrays), paths)
    Path(plan.parts[0].uri).write_bytes(b"")
    with pytest.raises(DataDefect, match="it was changed after it was written"):
        inspect_part(recipe, plan, 0, paths)


_KILLED = """
import sys
from cxr_tasks.contracts.handoffs.dataset import IngestPlan
from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.contracts.recipes import load_recipe
from cxr_tasks.ingest import ledger
from cxr_tasks.ingest.listing import list_images
from cxr_tasks.ingest.part import inspect_part

if __name__ == "__main__":  # worker processes import this file again
    ledger._WRITE_EVERY_S = 0.05
    recipe, paths = load_recipe("kermany_cnn"), RunPaths.for_run("d", "killed")
    inspect_part(recipe, list_images(recipe, sys.argv[1], paths), 0, paths)
"""


def test_a_killed_ingest_goes_on_where_it_stopped(xrays, ingest_once, recipe, tmp_path, picture):
    # Large ones, so that there is time to kill: one file under many names.
    picture(1, width=9, height=9).resize((900, 900)).save(tmp_path / "large.png")
    for number in range(600):
        os.link(tmp_path / "large.png", xrays / "train" / "NORMAL" / f"IM-0999-{number:04d}.png")
    script = tmp_path / "killed.py"
    script.write_text(_KILLED)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen([sys.executable, script, xrays], env=environment, start_new_session=True)

    def n_known():
        with open_ledger(xrays) as ledger:
            return ledger._connection.execute("SELECT count(*) FROM files").fetchone()[0]

    wait_until(lambda: n_known() >= 120, "120 files in the ledger", of=process)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was done before it could be killed"
    known_by_then = n_known()
    assert 100 <= known_by_then < 668
    inspected, table = ingest_once("r2")
    assert inspected.n_reused == known_by_then
    assert (inspected.n_usable, len(table)) == (668, 668)

from __future__ import annotations

import sqlite3
import threading

import pytest

from cxr_tasks.contracts.errors import ServiceUnavailable
from cxr_tasks.ingest import ledger as ledger_module
from cxr_tasks.ingest import ledger_entries
from cxr_tasks.ingest.inspection.opening import FileState
from cxr_tasks.ingest.ledger import Entry, ledger_path, open_ledger
from tests.conftest import in_both


def make_entry(number=1, **overrides):
    values = {
        "image_id": f"a/{number}.png",
        "size_bytes": 10,
        "mtime_ns": 20,
        "file_sha256": "1" * 64,
        "version": "1",
        "found": "{}",
    }
    return Entry(**{**values, **overrides})


@pytest.fixture
def root(tmp_path, cxr_home):
    folder = tmp_path / "root"
    (folder / "a").mkdir(parents=True)
    return folder


@in_both
def test_entries_outlive_the_process_that_made_them(root):
    with open_ledger(root) as ledger:
        for number in range(1200):
            ledger.add(make_entry(number))
    with open_ledger(root) as ledger:
        found = ledger.entries([f"a/{number}.png" for number in range(-5, 1200)])
    assert len(found) == 1200
    assert found["a/7.png"] == make_entry(7)


@in_both
def test_a_newer_entry_takes_the_place_of_the_older(root):
    with open_ledger(root) as ledger:
        ledger.add(make_entry())
        ledger.add(make_entry(size_bytes=11))
        ledger.flush()
        ledger.add(make_entry(size_bytes=12))
    with open_ledger(root) as ledger:
        assert ledger.entries(["a/1.png"])["a/1.png"].size_bytes == 12


@in_both
def test_what_was_added_before_an_error_is_kept(root):
    with pytest.raises(RuntimeError, match="stop"), open_ledger(root) as ledger:
        ledger.add(make_entry())
        raise RuntimeError("stop")
    with open_ledger(root) as ledger:
        assert ledger.entries(["a/1.png"])


@in_both
def test_batches_are_written_on_the_way(root, monkeypatch):
    monkeypatch.setattr(ledger_entries, "_WRITE_EVERY_S", 0.0)
    with open_ledger(root) as ledger, open_ledger(root) as other:
        ledger.add(make_entry())
        assert other.entries(["a/1.png"])


@in_both
def test_the_same_bytes_at_a_new_time(root):
    with open_ledger(root) as ledger:
        ledger.add(make_entry())
        ledger.flush()
        ledger.set_state(make_entry(mtime_ns=99, found=""))
        assert ledger.entries(["a/1.png"])["a/1.png"] == make_entry(mtime_ns=99)


@pytest.mark.parametrize(
    ("state", "is_same"),
    [
        (FileState(10, 20), True),
        (FileState(10, 21), False),  # touched
        (FileState(11, 20), False),  # another size
        (None, False),  # gone, or a link
    ],
)
def test_a_file_is_known_by_size_and_time(state, is_same):
    assert make_entry().is_of(state) is is_same


def test_what_could_not_be_read_is_never_known():
    entry = make_entry(size_bytes=None, mtime_ns=None)
    assert not entry.is_lasting
    assert not entry.is_of(FileState(10, 20))


@in_both
def test_files_that_are_gone_are_forgotten_and_others_stay(root):
    for name in ("listed", "of another recipe"):
        (root / "a" / name).touch()
    with open_ledger(root) as ledger:
        for name in ("listed", "of another recipe", "gone", "listed but gone"):
            ledger.add(make_entry(image_id=f"a/{name}"))
        assert ledger.drop_gone(root, [["a/listed"], ["a/listed but gone"]]) == 1
        names = ["a/listed", "a/of another recipe", "a/gone", "a/listed but gone"]
        assert set(ledger.entries(names)) == {"a/listed", "a/of another recipe", "a/listed but gone"}


def test_folders_have_ledgers_of_their_own_readable_by_the_owner_only(root):
    with open_ledger(root):
        pass
    assert ledger_path(root) != ledger_path(root / "a")
    assert ledger_path(root).stat().st_mode & 0o077 == 0


@in_both
def test_several_tasks_write_at_once(root):
    def write(first):
        with open_ledger(root) as ledger:
            for number in range(first, first + 200):
                ledger.add(make_entry(number))
                ledger.flush()

    threads = [threading.Thread(target=write, args=(first,)) for first in (0, 200, 400)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    with open_ledger(root) as ledger:
        assert len(ledger.entries([f"a/{number}.png" for number in range(600)])) == 600


def test_a_broken_ledger_is_set_aside_and_the_next_try_begins_anew(root):
    with open_ledger(root) as ledger:
        ledger.add(make_entry())
    ledger_path(root).write_bytes(b"this is no database at all" * 100)
    with pytest.raises(ServiceUnavailable, match="set aside; try again"), open_ledger(root):
        pass
    with open_ledger(root) as ledger:
        assert ledger.entries(["a/1.png"]) == {}
    assert len(list(ledger_path(root).parent.glob("*.broken-*"))) == 1


def test_a_ledger_that_stays_locked_is_named_and_kept(root, monkeypatch):
    monkeypatch.setattr(ledger_module, "_BUSY_TIMEOUT_S", 0.05)
    with open_ledger(root):
        pass
    holder = sqlite3.connect(ledger_path(root), isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(ServiceUnavailable, match=r"locked"), open_ledger(root) as ledger:
        ledger.add(make_entry())
    holder.close()
    assert ledger_path(root).exists()

from __future__ import annotations

import tracemalloc

import pytest

from cxr_tasks.contracts.errors import ServiceUnavailable
from cxr_tasks.sources.reading.names import NameTable


def test_the_first_note_of_a_name_stays():
    table = NameTable()
    assert table.setdefault("a.png", "line 1") == "line 1"
    assert table.setdefault("a.png", "line 2") == "line 1"
    assert (table.get("a.png"), table.get("b.png")) == ("line 1", None)
    assert ("a.png" in table, "b.png" in table, len(table)) == (True, False, 1)


def test_what_was_taken_out_is_gone():
    table = NameTable()
    table.setdefault("a.png", "train")
    assert (table.pop("a.png"), table.pop("a.png"), len(table)) == ("train", None, 0)
    assert table.setdefault("a.png", "test") == "test"


def test_several_notes_of_a_name_come_in_their_order():
    table = NameTable()
    for place in ("images_002/a.png", "images_001/a.png", "a.png"):
        table.add("a.png", place)
    assert table.notes("a.png") == ["images_002/a.png", "images_001/a.png", "a.png"]
    assert table.notes("b.png") == []


@pytest.mark.parametrize("name", ["", "größe.png", "caf\udce9.png", "line\nbreak.png"])
def test_any_file_name_can_stand_in_it(name):
    table = NameTable()
    assert table.setdefault(name, name) == name
    assert (table.get(name), list(table)) == (name, [name])


def test_names_come_in_order_of_their_bytes():
    table = NameTable()
    for name in ("b", "é", "a", "B"):
        table.setdefault(name, "")
    assert list(table) == ["B", "a", "b", "é"]


def test_many_names_take_no_memory_and_leave_no_file(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    tracemalloc.start()
    try:
        table = NameTable()
        for number in range(50_000):
            table.setdefault(f"{number:08d}_000.png", str(number))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(table) == 50_000
    assert table.get("00049999_000.png") == "49999"
    # SQLite's own cache is of a fixed size, and not Python's.
    assert held < 1_000_000
    assert list(tmp_path.iterdir()) == []


def test_no_space_for_it_is_said():
    table = NameTable()
    table._connection.execute("PRAGMA max_page_count = 20")
    with pytest.raises(ServiceUnavailable, match="is there space in the folder for temporary files"):
        for number in range(50_000):
            table.setdefault(f"{number:08d}_000.png", str(number))

from __future__ import annotations

import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.installation.storage.files import (
    published_folder,
    read_json,
    reference_to,
    replaced_file,
    verified_path,
    write_json,
)


def test_a_changed_file_is_noticed(tmp_path):
    path = tmp_path / "table.txt"
    path.write_text("one")
    reference = reference_to(path)
    assert verified_path(reference) == path
    path.write_text("two")
    with pytest.raises(DataDefect, match="it was changed after it was written"):
        verified_path(reference)
    path.unlink()
    with pytest.raises(DataDefect, match="found none"):
        verified_path(reference)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "facts.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="half way"), replaced_file(path) as aside:
        aside.write_text("{")
        raise ValueError("half way")
    assert read_json(path) == {"a": 1}
    assert [one.name for one in tmp_path.iterdir()] == ["facts.json"]


def test_nan_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "facts.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_whole_or_absent(tmp_path):
    with pytest.raises(OSError, match="disk"), published_folder(tmp_path / "7") as aside:
        (aside / "part").write_text("x")
        raise OSError("disk full")
    assert list(tmp_path.iterdir()) == []
    with published_folder(tmp_path / "7") as aside:
        assert not (tmp_path / "7").exists()
        (aside / "part").write_text("first")
    assert (tmp_path / "7" / "part").read_text() == "first"


def test_who_publishes_second_changes_nothing(tmp_path):
    for text in ("first", "second"):
        with published_folder(tmp_path / "7") as aside:
            (aside / "part").write_text(text)
    assert (tmp_path / "7" / "part").read_text() == "first"
    assert [one.name for one in tmp_path.iterdir()] == ["7"]

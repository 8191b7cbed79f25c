from __future__ import annotations

import pytest

from cxr_tasks.installation.storage.changes import (
    copy_file,
    move,
    remove_file,
    remove_tree,
    work_folder,
    write_bytes,
)


def test_a_work_folder_is_the_owners_and_goes_whatever_happens(tmp_path):
    with pytest.raises(RuntimeError, match="half way"), work_folder(tmp_path) as folder:
        (folder / "below").mkdir()
        (folder / "below" / "file").write_text("x")
        assert (folder.parent, folder.stat().st_mode & 0o777) == (tmp_path, 0o700)
        raise RuntimeError("half way")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_written_and_copied_whole_and_leaves_nothing_beside_it(tmp_path):
    write_bytes(tmp_path / "deep" / "a", b"one")
    copy_file(tmp_path / "deep" / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"one"
    with pytest.raises(FileNotFoundError):
        copy_file(tmp_path / "missing", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "deep"]


def test_a_folder_is_moved_but_not_over_another_one(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    with pytest.raises(OSError, match="not empty"):
        move(tmp_path / "a", tmp_path / "b")
    move(tmp_path / "a", tmp_path / "c")
    assert (tmp_path / "c" / "file").read_text() == "a"


def test_what_is_not_there_is_no_file_to_remove_but_a_folder_is_missed(tmp_path):
    remove_file(tmp_path / "none")
    remove_tree(tmp_path / "none", even_if_stuck=True)
    with pytest.raises(FileNotFoundError):
        remove_tree(tmp_path / "none")

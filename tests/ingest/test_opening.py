from __future__ import annotations

import os

import pytest

from cxr_tasks.images.inspection.unusable import Unusable
from cxr_tasks.ingest.inspection import opening
from cxr_tasks.ingest.inspection.opening import FileState, read_whole, state_of


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "x.png").write_bytes(b"0123456789")
    (tmp_path / "outside.png").write_bytes(b"secret")
    return folder


def reason_of(root, image_id):
    with pytest.raises(Unusable) as caught:
        read_whole(str(root), image_id, set())
    assert str(caught.value)
    assert caught.value.action
    return caught.value.reason


def test_bytes_come_with_the_state_they_had(root):
    content, state = read_whole(str(root), "a/x.png", set())
    found = (root / "a" / "x.png").stat()
    assert content == b"0123456789"
    assert state == FileState(10, found.st_mtime_ns) == state_of(str(root), "a/x.png")


@pytest.mark.parametrize(
    "image_id",
    [
        "../outside.png",
        "a/../../outside.png",
        "out/outside.png",  # through a linked folder
        "..",
        "a/",
        "",
        "a/x\0.png",
    ],
)
def test_paths_that_lead_out_are_refused_unread(root, image_id):
    (root / "out").symlink_to(root.parent)
    assert reason_of(root, image_id) == "path_outside"


def test_an_absolute_path_stays_below_the_folder(root):
    assert reason_of(root, str(root.parent / "outside.png")) == "path_outside"


def test_a_link_inside_is_followed_and_one_leading_out_is_not(root):
    (root / "in.png").symlink_to("a/x.png")
    (root / "out.png").symlink_to(root.parent / "outside.png")
    (root / "broken.png").symlink_to("nowhere.png")
    assert read_whole(str(root), "in.png", set())[0] == b"0123456789"
    assert reason_of(root, "out.png") == "link_outside"
    assert reason_of(root, "broken.png") == "missing_file"


def test_a_link_is_never_known_by_its_state(root):
    (root / "in.png").symlink_to("a/x.png")
    assert state_of(str(root), "in.png") is None
    assert state_of(str(root), "nowhere.png") is None


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_what_is_no_file_is_refused_and_does_not_hang(root, kind):
    os.mkfifo(root / "y") if kind == "pipe" else (root / "y").mkdir()
    assert reason_of(root, "y") == "not_a_file"


def test_empty_and_missing_files(root):
    (root / "empty.png").touch()
    assert reason_of(root, "empty.png") == "empty_file"
    assert reason_of(root, "a/gone.png") == "missing_file"


def test_a_file_too_large_is_not_read(root, monkeypatch):
    monkeypatch.setattr(opening, "LARGEST_FILE_BYTES", 9)
    assert reason_of(root, "a/x.png") == "file_too_large"


def test_a_file_without_permission_is_refused(root, monkeypatch):
    def refuse(path, flags):  # tests often run as root, whom no permission stops
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "open", refuse)
    assert reason_of(root, "a/x.png") == "no_permission"


@pytest.mark.parametrize("change", ["grows", "shrinks", "is written over"])
def test_a_file_that_changes_while_it_is_read_is_noticed(root, monkeypatch, change):
    path = root / "a" / "x.png"
    really_read = os.read

    def read_while_changing(descriptor, size):
        if change == "grows":
            with path.open("ab") as stream:
                stream.write(b"more")
        elif change == "shrinks":
            os.truncate(path, 4)
        else:
            path.write_bytes(b"9876543210")
            os.utime(path, ns=(1, 1))
        return really_read(descriptor, size)

    monkeypatch.setattr(os, "read", read_while_changing)
    assert reason_of(root, "a/x.png") == "changed_while_read"


def test_short_reads_are_put_together(root, monkeypatch):
    really_read = os.read
    monkeypatch.setattr(os, "read", lambda descriptor, size: really_read(descriptor, min(size, 3)))
    assert read_whole(str(root), "a/x.png", set())[0] == b"0123456789"

from __future__ import annotations

import inspect
import os
import sys
from collections import Counter

import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.sources.reading.files import (
    as_text_name,
    describe_folder,
    files_below,
    ignored_notes,
    is_litter,
    is_text_name,
)


@pytest.mark.parametrize(
    "name",
    [
        ".DS_Store",
        "__MACOSX",
        "Thumbs.db",
        "THUMBS.DB",
        "desktop.ini",
        ".thumbnails",
        "@eaDir",
        "._IM-0001-0001.jpeg",
        ".IM-0001-0001.jpeg",
        ".Trash-1000",
        ".snapshot",
        "IM-0001-0001.jpeg:Zone.Identifier",
    ],
)
def test_what_systems_leave_behind_is_litter(name):
    assert is_litter(name)


@pytest.mark.parametrize("name", ["IM-0001-0001.jpeg", "_mask.png", "Thumbs.png", "images_001"])
def test_anything_else_is_not(name):
    assert not is_litter(name)


def test_files_come_in_sorted_order_and_litter_is_counted(make_folder):
    files = ["b/2.png", "b/10.png", "a.png", "b/c/1.png", "c.png", "b/@eaDir/x/2.png", "b/@eaDir/y.png", "b/Thumbs.db"]
    files.append("b/2.png:Zone.Identifier")
    root = make_folder(files)
    ignored: Counter[str] = Counter()
    found = [path.relative_to(root).as_posix() for path in files_below(root, ignored)]
    assert found == ["a.png", "b/10.png", "b/2.png", "b/c/1.png", "c.png"]
    assert ignored_notes(ignored) == (
        "ignored 1 x *:Zone.Identifier",
        "ignored 1 x @eaDir",
        "ignored 1 x Thumbs.db",
    )


def test_hidden_files_and_folders_are_counted_and_never_given(make_folder):
    root = make_folder(["1.png", ".Trash-1000/files/2.png", ".3.png", "a/.cache/4.png"])
    ignored: Counter[str] = Counter()
    assert [path.name for path in files_below(root, ignored)] == ["1.png"]
    assert ignored_notes(ignored) == ("ignored 3 x .*",)


def test_a_link_that_leads_to_itself_is_given_like_a_file(make_folder):
    root = make_folder(["a/1.png"])
    (root / "a" / "self.png").symlink_to("self.png")
    assert [path.name for path in files_below(root, Counter())] == ["1.png", "self.png"]


def test_links_to_files_are_given_and_linked_folders_not_entered(make_folder, tmp_path):
    root = make_folder(["a/1.png"])
    outside = make_folder(["2.png"], name="outside")
    (root / "a" / "2.png").symlink_to(outside / "2.png")
    (root / "a" / "gone.png").symlink_to(outside / "none.png")
    (root / "all").symlink_to(outside)
    (root / "a" / "round").symlink_to(root)
    ignored: Counter[str] = Counter()
    assert [path.name for path in files_below(root, ignored)] == ["1.png", "2.png", "gone.png"]
    assert ignored == {"linked folders": 2}


def test_folders_may_be_nested_deeper_than_calls(make_folder):
    root = make_folder(["d/" * 200 + "1.png"])
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        found = list(files_below(root, Counter()))
    finally:
        sys.setrecursionlimit(limit)
    assert [path.name for path in found] == ["1.png"]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may list every folder")
def test_a_folder_one_may_not_list_is_a_defect(make_folder):
    root = make_folder(["a/1.png"])
    (root / "a").chmod(0)
    with pytest.raises(DataDefect, match="a: the folder cannot be listed .Permission denied."):
        list(files_below(root, Counter()))


def test_a_folder_that_is_gone_is_a_defect(tmp_path):
    with pytest.raises(DataDefect, match="cannot be listed"):
        list(files_below(tmp_path / "gone", Counter()))


def test_a_folder_is_described_without_the_names_of_images(make_folder, tmp_path):
    files = ["IM-0001-0001.jpeg", "1.PNG", "x.dcm", "labels.csv", "scans/1.png", ".DS_Store"]
    assert describe_folder(make_folder(files)) == "labels.csv, scans, 3 image files"
    assert describe_folder(make_folder([f"{i:02d}.txt" for i in range(11)], name="many")).endswith("07.txt, 3 more")
    (tmp_path / "empty").mkdir()
    assert describe_folder(tmp_path / "empty") == "nothing"


def test_names_with_stray_bytes_are_told_and_shown():
    stray = os.fsdecode(b"caf\xe9.png")
    assert (is_text_name("café.png"), is_text_name(stray)) == (True, False)
    assert as_text_name(stray) == r"caf\xe9.png"
    assert as_text_name("café.png") == "café.png"

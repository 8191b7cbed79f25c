"""Linked folders, and paths that are no text."""

from __future__ import annotations

import os
import shutil

import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.sources.kermany.source import SOURCE


def test_linked_folders_are_not_entered(make_folder, kermany_spec):
    root = make_folder()
    (root / "train" / "NORMAL" / "round").symlink_to(root)
    scan = SOURCE.scan(root, kermany_spec)
    assert len(scan.records) == 6
    assert scan.notes == ("ignored 1 x linked folders",)


@pytest.mark.parametrize("linked", ["train", "val", "test", "train/NORMAL", "test/PNEUMONIA"])
def test_linked_folders_of_the_layout_are_named_and_not_entered(make_folder, tmp_path, kermany_spec, linked):
    root = make_folder()
    shutil.move(root / linked, tmp_path / "elsewhere")
    (root / linked).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataDefect, match=f"linked.*{linked.partition('/')[0]}|{linked}.*linked"):
        SOURCE.scan(root, kermany_spec)


def test_a_linked_outer_folder_is_not_entered(make_folder, tmp_path, kermany_spec):
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "chest_xray").symlink_to(make_folder())
    with pytest.raises(DataDefect, match="found chest_xray; linked folders are not entered: chest_xray$"):
        SOURCE.scan(tmp_path / "given", kermany_spec)


def test_a_path_that_is_no_text_is_refused_with_its_bytes_shown(make_folder, kermany_spec):
    root = make_folder()
    stray = os.fsdecode(b"caf\xe9")
    (root / "train" / "NORMAL" / stray).mkdir()
    (root / "train" / "NORMAL" / stray / "IM-0004-0001.jpeg").write_bytes(b"x")
    scan = SOURCE.scan(root, kermany_spec)
    assert len(scan.records) == 6
    assert [(one.image_id, one.reason) for one in scan.refusals] == [
        (r"train/NORMAL/caf\xe9/IM-0004-0001.jpeg", "unreadable_name")
    ]


def test_images_found_in_another_layout_are_counted_not_named(make_folder, kermany_spec):
    with pytest.raises(DataDefect, match="found notes, 2 image files$"):
        SOURCE.scan(make_folder(["IM-0001-0001.jpeg", "person1_virus_1.jpeg", "notes/a.txt"]), kermany_spec)

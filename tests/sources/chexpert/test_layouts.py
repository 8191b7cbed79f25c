"""The archives as they are published, whole, in batches and side by side."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cxr_tasks.contracts.errors import DataDefect
from tests.sources.chexpert.scanning import FIRST, ids, scan
from tests.sources.chexpert_files import SMALL, Chexpert


@pytest.mark.parametrize(
    ("folder", "root"),
    [
        ("CheXpert-v1.0-small", ""),  # TFDS's manual_dir
        ("CheXpert-v1.0", ""),  # full size
        ("CheXpert-v1.0-small", "CheXpert-v1.0-small"),  # the folder itself
        ("anything", "anything"),  # the folder itself, renamed
    ],
)
def test_layouts(tmp_path, folder, root):
    found = scan(Chexpert().write(tmp_path, folder) / root)
    assert found.root == tmp_path / folder
    assert ids(found)[0] == FIRST
    assert len(ids(found)) == 4


def make_batches(root: Path) -> Path:
    """The archives of 2021, each unpacked into its own folder."""
    Chexpert().write(root, "CheXpert-v1.0")
    first, second, third = (
        root / f"CheXpert-v1.0 batch {name}" for name in ("1 (validate & csv)", "2 (train 1)", "3 (train 2)")
    )
    whole = root / "CheXpert-v1.0"
    third.mkdir()
    (whole / "train" / "patient00002").rename(third / "patient00002")
    (whole / "train").rename(second)
    whole.rename(first)
    return root


def test_archives_side_by_side(tmp_path):
    found = scan(make_batches(tmp_path))
    assert found.root == tmp_path
    assert ids(found) == [
        "CheXpert-v1.0 batch 1 (validate & csv)/valid/patient64541/study1/view1_frontal.jpg",
        "CheXpert-v1.0 batch 2 (train 1)/patient00001/study1/view1_frontal.jpg",
        "CheXpert-v1.0 batch 3 (train 2)/patient00002/study1/view1_frontal.jpg",
        "CheXpert-v1.0 batch 3 (train 2)/patient00002/study2/view1_frontal.jpg",
    ]
    assert [record.official_split for record in found.records] == ["test", "train", "train", "train"]
    assert all((tmp_path / one).is_file() for one in ids(found))


def test_one_archive_alone_is_a_part_when_the_options_say_so(tmp_path):
    root = make_batches(tmp_path)
    shutil.rmtree(root / "CheXpert-v1.0 batch 3 (train 2)")
    with pytest.raises(DataDefect, match=r"2 of 4 listed images are absent.*train\.csv, line 3; 5% may be"):
        scan(root)
    found = scan(root, absent_bound=1)
    assert [record.patient_id for record in found.records] == ["patient64541", "patient00001"]
    assert {one.reason for one in found.refusals} == {"absent", "lateral_view"}


def test_the_archive_of_the_tables_alone_names_the_folder_to_give(tmp_path):
    root = make_batches(tmp_path)
    with pytest.raises(DataDefect, match="give the folder that holds all batches") as caught:
        scan(root / "CheXpert-v1.0 batch 1 (validate & csv)")
    assert str(root) in str(caught.value)


def test_the_same_image_in_two_archives_is_an_error(tmp_path):
    root = make_batches(tmp_path)
    shutil.copytree(root / "CheXpert-v1.0 batch 3 (train 2)", root / "CheXpert-v1.0 batch 4 (train 3)")
    with pytest.raises(DataDefect, match=r"batch 3 .*batch 4 .* are one image of train\.csv"):
        scan(root)


def test_two_copies_ask_which_is_meant(tmp_path):
    Chexpert().write(tmp_path, "CheXpert-v1.0")
    Chexpert().write(tmp_path, "CheXpert-v1.0-small")
    with pytest.raises(DataDefect, match="found 'CheXpert-v1.0', 'CheXpert-v1.0-small'; give one"):
        scan(tmp_path)


def test_another_folder_says_what_was_expected_and_found(tmp_path):
    (tmp_path / "NORMAL").mkdir()
    with pytest.raises(DataDefect, match=r"expected CheXpert-v1\.0-small .*; found NORMAL"):
        scan(tmp_path)


def test_tables_without_images_say_so(tmp_path):
    root = Chexpert().write(tmp_path)
    shutil.rmtree(root / SMALL / "train")
    with pytest.raises(DataDefect, match=r"expected the images of train\.csv in a folder 'train', found train\.csv, v"):
        scan(root)

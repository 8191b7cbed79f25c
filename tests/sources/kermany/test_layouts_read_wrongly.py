"""Folders that look like the layout and mean another one: each is told before the first image is read."""

from __future__ import annotations

from collections import Counter

import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.sources.kermany.source import SOURCE


def renamed(files, **names):
    return [f"{names.get(file.split('/')[0], file.split('/')[0])}/{file.partition('/')[2]}" for file in files]


def test_splits_are_known_by_longer_names(make_folder, plain_files, kermany_spec):
    root = make_folder(renamed(plain_files, train="Training", val="dev", test="TESTING"))
    splits = Counter(one.official_split for one in SOURCE.scan(root, kermany_spec).records)
    assert splits == {"train": 2, "validation": 2, "test": 2}


@pytest.mark.parametrize("name", ["holdout", "eval", "test_set"])
def test_a_split_of_unknown_name_is_not_left_out(make_folder, plain_files, kermany_spec, name):
    root = make_folder(renamed(plain_files, test=name))
    with pytest.raises(DataDefect, match=f"folder {name} holds NORMAL and PNEUMONIA and is none of train, val"):
        SOURCE.scan(root, kermany_spec)


def test_siblings_of_unknown_names_are_told_how_to_be_called(make_folder, plain_files, kermany_spec):
    root = make_folder(renamed(plain_files, train="train_set", val="val_set", test="test_set"))
    with pytest.raises(DataDefect, match="or name them train, val and test where they are the splits of one"):
        SOURCE.scan(root, kermany_spec)


@pytest.mark.parametrize("split", ["test", "Training"])
def test_splits_inside_class_folders_are_not_dealt_anew(make_folder, kermany_spec, split):
    files = [
        f"{label}/{split}/{name}" for label, name in (("NORMAL", "IM-1-1.jpeg"), ("PNEUMONIA", "person1_virus_1.jpeg"))
    ]
    with pytest.raises(DataDefect, match=f"other way round: {split} in NORMAL; make {split}/NORMAL of NORMAL/{split}"):
        SOURCE.scan(make_folder(files), kermany_spec)


@pytest.mark.parametrize("empty", ["train/NORMAL", "train/PNEUMONIA", "test/NORMAL", "test/PNEUMONIA"])
def test_a_split_of_one_class_is_told_before_ingest(make_folder, plain_files, kermany_spec, empty):
    root = make_folder([file for file in plain_files if not file.startswith(empty)])
    (root / empty).mkdir()
    with pytest.raises(DataDefect, match=f"no files in {empty}; a split with one of"):
        SOURCE.scan(root, kermany_spec)


def test_an_empty_test_folder_is_no_test_split(make_folder, plain_files, kermany_spec):
    root = make_folder([file for file in plain_files if not file.startswith("test")])
    for label in ("NORMAL", "PNEUMONIA"):
        (root / "test" / label).mkdir(parents=True)
    assert {one.official_split for one in SOURCE.scan(root, kermany_spec).records} == {"train", "validation"}


@pytest.mark.parametrize("folder", ["masks", "heat maps", "2019/Lung_Segmentation"])
def test_pictures_made_of_the_images_are_not_taken_for_them(make_folder, plain_files, kermany_spec, folder):
    made = [f"train/NORMAL/{folder}/IM-{number}-0001.png" for number in (7, 8)]
    scan = SOURCE.scan(make_folder([*plain_files, *made]), kermany_spec)
    assert (len(scan.records), scan.refusals) == (6, ())
    assert scan.notes == (f"ignored 2 x train/NORMAL/{folder} (made of the images)",)

"""The archives as people unpack them."""

from __future__ import annotations

from collections import Counter

import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.labels import LabelState
from cxr_tasks.sources.kermany.source import SOURCE


@pytest.mark.parametrize(
    "outer",
    [
        "CellData/chest_xray",
        "ZhangLabData/CellData/chest_xray",
        "chest-xray-pneumonia/chest_xray",
        "chest-xray-pneumonia/chest_xray/chest_xray",
        "archive/Chest X-Ray (Pneumonia)",
        "a/b/c/d",
    ],
)
def test_outer_folders_of_archives_are_looked_into(make_folder, plain_files, kermany_spec, outer):
    others = (f"{outer.partition('/')[0]}/OCT/train/NORMAL/NORMAL-1-1.jpeg", "__MACOSX/train/NORMAL/._x", "README.txt")
    root = make_folder([*(f"{outer}/{one}" for one in plain_files), *others])
    scan = SOURCE.scan(root, kermany_spec)
    assert (scan.root, len(scan.records), scan.refusals) == (root / outer, 6, ())


def test_of_kaggles_two_copies_the_outer_one_is_read(make_folder, plain_files, kermany_spec):
    copies = [f"chest_xray/{inner}{one}" for inner in ("", "chest_xray/", "__MACOSX/") for one in plain_files]
    scan = SOURCE.scan(make_folder(copies), kermany_spec)
    assert (scan.root.name, len(scan.records), scan.refusals) == ("chest_xray", 6, ())
    assert scan.notes == ("ignored 1 x __MACOSX", "ignored 1 x chest_xray (not in the layout)")


def test_two_data_sets_equally_near_are_named(make_folder, plain_files, kermany_spec):
    root = make_folder([f"{name}/{one}" for name in ("first", "second") for one in plain_files])
    with pytest.raises(DataDefect, match="expected one data set, found 2: first, second; give one of them"):
        SOURCE.scan(root, kermany_spec)


@pytest.mark.parametrize("change", [str.lower, str.title, str.upper, lambda one: f" {one} "])
def test_folders_are_known_in_any_case_and_with_spaces(make_folder, plain_files, kermany_spec, change):
    def renamed(file):
        split, label, name = file.split("/")
        return f"{change(split)}/{change(label)}/{name}"

    scan = SOURCE.scan(make_folder(map(renamed, plain_files)), kermany_spec)
    assert len(scan.records) == 6
    assert Counter(one.official_split for one in scan.records) == {"train": 2, "validation": 2, "test": 2}
    assert Counter(one.states["pneumonia"] for one in scan.records) == {LabelState.POSITIVE: 3, LabelState.NEGATIVE: 3}


def test_two_folders_of_one_name_are_a_defect(make_folder, plain_files, kermany_spec):
    root = make_folder((*plain_files, "train/Normal/IM-0009-0001.jpeg"))
    with pytest.raises(DataDefect, match="expected one folder NORMAL, found 'NORMAL' and 'Normal'"):
        SOURCE.scan(root, kermany_spec)


def test_a_folder_per_patient_inside_the_class_is_entered(make_folder, kermany_spec):
    files = [f"train/NORMAL/p{n}/IM-000{n}-0001.jpeg" for n in (1, 2)] + ["train/PNEUMONIA/x y/person1_virus_1.jpeg"]
    assert len(SOURCE.scan(make_folder(files), kermany_spec).records) == 3


def test_the_test_folder_may_be_absent_and_there_is_no_official_test_split_then(make_folder, plain_files, kermany_spec):
    scan = SOURCE.scan(make_folder(one for one in plain_files if not one.startswith("test")), kermany_spec)
    assert Counter(one.official_split for one in scan.records) == {"train": 2, "validation": 2}


def test_classes_under_other_names_are_shown(make_folder, kermany_spec):
    root = make_folder(["train/NORMAL/IM-0001-0001.jpeg", "train/BACTERIA/a.jpeg", "train/VIRUS/b.jpeg"])
    with pytest.raises(DataDefect, match="missing: train/PNEUMONIA; found beside them: train/BACTERIA, train/VIRUS$"):
        SOURCE.scan(root, kermany_spec)


@pytest.mark.data
@pytest.mark.parametrize("below", ["", "CellData", "CellData/chest_xray"])
def test_the_set_under_its_publishers_names(shared_data, kermany_spec, below):
    scan = SOURCE.scan(shared_data / "cases" / "kermany_mendeley_names" / below, kermany_spec)
    assert (len(scan.records), scan.refusals) == (36, ())
    assert Counter((one.official_split, one.sub_label) for one in scan.records) == {
        ("train", ""): 12,
        ("train", "bacteria"): 8,
        ("train", "virus"): 4,
        ("test", ""): 6,
        ("test", "bacteria"): 4,
        ("test", "virus"): 2,
    }


def test_another_layout_is_answered_with_what_was_found(make_folder, kermany_spec):
    with pytest.raises(DataDefect, match="expected the folders train, val and test.*found images, labels.csv"):
        SOURCE.scan(make_folder(["images/1.png", "labels.csv"]), kermany_spec)


def test_missing_class_folders_are_named(make_folder, plain_files, kermany_spec):
    root = make_folder(one for one in plain_files if one != "test/NORMAL/IM-0003-0001.jpeg")
    with pytest.raises(DataDefect, match="missing: test/NORMAL$"):
        SOURCE.scan(root, kermany_spec)


def test_empty_class_folders_are_a_defect(tmp_path, kermany_spec):
    for split in ("train", "test"):
        for name in ("NORMAL", "PNEUMONIA"):
            (tmp_path / split / name).mkdir(parents=True)
    with pytest.raises(DataDefect, match="the class folders hold no files"):
        SOURCE.scan(tmp_path, kermany_spec)

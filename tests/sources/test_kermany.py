from __future__ import annotations

import dataclasses
from collections import Counter

import pytest

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.labels import LabelState
from cxr_tasks.sources.kermany import SOURCE, PatientOfName, patient_of_name


@pytest.mark.parametrize(
    ("name", "patient_id", "sub_label"),
    [
        ("person67_bacteria_332.jpeg", "person67", "bacteria"),
        ("person276_virus_569.jpeg", "person276", "virus"),
        ("IM-0521-0001.jpeg", "IM521", ""),
        ("IM-0125-0001-0002.jpeg", "IM125", ""),  # a further image of one study
        ("NORMAL2-IM-1362-0001.jpeg", "IM1362", ""),
        ("NORMAL2-IM-0035-0001-0001.jpeg", "IM35", ""),
        ("person1_virus_6.jpg", "person1", "virus"),  # some copies rename the suffix
    ],
)
def test_patient_and_kind_are_read_from_the_name(name, patient_id, sub_label):
    assert patient_of_name(name) == PatientOfName(patient_id, sub_label)


@pytest.mark.parametrize(
    "name",
    [
        "holiday.jpeg",
        "person_bacteria_1.jpeg",  # no number
        "person12_fungus_1.jpeg",  # no kind we know
        "person12_bacteria.jpeg",  # no running number
        "xperson12_bacteria_1.jpeg",
        "IM-0125.jpeg",
        "person12_bacteria_1 (copy).jpeg",
        "person12_bacteria_1",  # no suffix
    ],
)
def test_a_name_that_fits_none_is_not_guessed(name):
    assert patient_of_name(name) is None


def test_scan_reads_split_label_patient_and_kind(make_folder, kermany_spec):
    scan = SOURCE.scan(make_folder(), kermany_spec)
    told = [(r.image_id, r.patient_id, r.official_split, r.states["pneumonia"], r.sub_label) for r in scan.records]
    assert told == [
        ("train/NORMAL/IM-0001-0001.jpeg", "IM1", "train", LabelState.NEGATIVE, ""),
        ("train/PNEUMONIA/person1_bacteria_1.jpeg", "person1", "train", LabelState.POSITIVE, "bacteria"),
        ("val/NORMAL/NORMAL2-IM-0002-0001.jpeg", "IM2", "validation", LabelState.NEGATIVE, ""),
        ("val/PNEUMONIA/person2_virus_2.jpeg", "person2", "validation", LabelState.POSITIVE, "virus"),
        ("test/NORMAL/IM-0003-0001.jpeg", "IM3", "test", LabelState.NEGATIVE, ""),
        ("test/PNEUMONIA/person3_virus_3.jpeg", "person3", "test", LabelState.POSITIVE, "virus"),
    ]
    assert scan.refusals == ()


def test_unknown_names_and_contradicting_folders_are_refused(make_folder, plain_files, kermany_spec):
    odd = ("train/NORMAL/scan.jpeg", "train/NORMAL/person9_virus_9.jpeg", "test/PNEUMONIA/IM-0009-0001.jpeg")
    scan = SOURCE.scan(make_folder((*plain_files, *odd)), kermany_spec)
    assert len(scan.records) == len(plain_files)
    assert {one.image_id: one.reason for one in scan.refusals} == {
        "train/NORMAL/scan.jpeg": "unknown_patient",
        "train/NORMAL/person9_virus_9.jpeg": "label_conflict",
        "test/PNEUMONIA/IM-0009-0001.jpeg": "label_conflict",
    }


@pytest.mark.parametrize("outer", ["", "chest_xray/", "chest_xray/chest_xray/"])
def test_the_archives_outer_folder_may_be_there(make_folder, plain_files, kermany_spec, outer):
    root = make_folder(outer + one for one in plain_files)
    scan = SOURCE.scan(root, kermany_spec)
    assert scan.root == root / outer
    assert scan.records[0].image_id == "train/NORMAL/IM-0001-0001.jpeg"


def test_the_archives_second_copy_is_not_read_twice(make_folder, plain_files, kermany_spec):
    scan = SOURCE.scan(make_folder([*plain_files, *("chest_xray/" + one for one in plain_files)]), kermany_spec)
    assert len(scan.records) == len(plain_files)
    assert scan.notes == ("ignored 1 x chest_xray (not in the layout)",)


def test_litter_is_ignored_and_noted(make_folder, plain_files, kermany_spec):
    litter = (
        "train/NORMAL/.DS_Store",
        "train/NORMAL/Thumbs.db",
        "test/NORMAL/._IM-0003-0001.jpeg",
        "__MACOSX/train/NORMAL/x.jpeg",
        "notes.txt",
    )
    scan = SOURCE.scan(make_folder((*plain_files, *litter)), kermany_spec)
    assert len(scan.records) == len(plain_files)
    assert set(scan.notes) == {
        "ignored 1 x .DS_Store",
        "ignored 1 x Thumbs.db",
        "ignored 1 x ._*",
        "ignored 1 x __MACOSX",
        "ignored 1 x notes.txt (not in the layout)",
    }


def test_the_val_folder_may_be_absent_as_in_the_first_publication(make_folder, plain_files, kermany_spec):
    root = make_folder(one for one in plain_files if not one.startswith("val"))
    assert Counter(one.official_split for one in SOURCE.scan(root, kermany_spec).records) == {"train": 2, "test": 2}


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


def test_linked_folders_are_not_entered(make_folder, kermany_spec):
    root = make_folder()
    (root / "train" / "NORMAL" / "round").symlink_to(root)
    scan = SOURCE.scan(root, kermany_spec)
    assert len(scan.records) == 6
    assert scan.notes == ("ignored 1 x linked folders",)


def test_options_and_other_vocabularies_are_refused(make_folder, kermany_spec):
    with pytest.raises(ConfigurationError, match="no options, found: seed"):
        SOURCE.scan(make_folder(), dataclasses.replace(kermany_spec, options={"seed": 1}))
    with pytest.raises(ConfigurationError, match="expected vocabulary 'pneumonia', found 'nih14'"):
        SOURCE.scan(make_folder(), dataclasses.replace(kermany_spec, vocabulary="nih14"))


@pytest.mark.data
def test_real_folder_gives_the_counts_of_its_readme(shared_data, kermany_spec):
    scan = SOURCE.scan(shared_data / "kermany", kermany_spec)
    counts = Counter((one.official_split, str(one.states["pneumonia"])) for one in scan.records)
    assert counts == {
        ("train", "negative"): 257,
        ("train", "positive"): 743,
        ("validation", "negative"): 26,
        ("validation", "positive"): 74,
        ("test", "negative"): 112,
        ("test", "positive"): 188,
    }
    assert scan.refusals == ()

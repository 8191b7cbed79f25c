"""What names of files and class folders say."""

from __future__ import annotations

from collections import Counter

import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.labels import LabelState
from cxr_tasks.sources.kermany.source import SOURCE, PatientOfName, patient_of_name


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
        ("person1_VIRUS_6.JPEG", "person1", "virus"),  # or write it large
        ("im-0521-0001.jpeg", "IM521", ""),
        ("BACTERIA-200003-0002.jpeg", "BACTERIA200003", "bacteria"),  # of the archive on Mendeley Data
        ("VIRUS-300015-0001.jpeg", "VIRUS300015", "virus"),
        ("NORMAL-100030-0001.jpeg", "NORMAL100030", ""),
        ("normal-100030-0001-0002.jpg", "NORMAL100030", ""),
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
        "COVID-100030-0001.jpeg",  # no class we know
        "BACTERIA-0001.jpeg",  # no patient
        "BACTERIA-200003-0001 (copy).jpeg",
        "BACTERIA-２００００３-0001.jpeg",
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


def test_one_unsplit_pair_of_class_folders_has_no_official_split(make_folder, kermany_spec):
    files = ("NORMAL/IM-0001-0001.jpeg", "PNEUMONIA/person1_virus_1.jpeg", "PNEUMONIA/person1_virus_2.jpeg")
    scan = SOURCE.scan(make_folder(files), kermany_spec)
    assert [(r.image_id, r.patient_id, r.official_split, r.states["pneumonia"], r.sub_label) for r in scan.records] == [
        ("NORMAL/IM-0001-0001.jpeg", "IM1", "", LabelState.NEGATIVE, ""),
        ("PNEUMONIA/person1_virus_1.jpeg", "person1", "", LabelState.POSITIVE, "virus"),
        ("PNEUMONIA/person1_virus_2.jpeg", "person1", "", LabelState.POSITIVE, "virus"),
    ]
    assert scan.notes == ()


@pytest.mark.parametrize("outer", ["chest_xray/", "chest_xray/chest_xray/"])
def test_the_unsplit_pair_may_lie_in_the_archives_outer_folder(make_folder, kermany_spec, outer):
    root = make_folder([f"{outer}NORMAL/IM-0001-0001.jpeg", f"{outer}PNEUMONIA/person1_virus_1.jpeg"])
    scan = SOURCE.scan(root, kermany_spec)
    assert scan.root == root / outer
    assert len(scan.records) == 2


def test_half_of_an_unsplit_pair_is_a_defect(make_folder, kermany_spec):
    with pytest.raises(DataDefect, match="expected NORMAL and PNEUMONIA; missing: NORMAL$"):
        SOURCE.scan(make_folder(["PNEUMONIA/person1_virus_1.jpeg"]), kermany_spec)


def test_patients_in_test_and_outside_it_are_counted_without_a_name(make_folder, plain_files, kermany_spec):
    more = (
        "train/PNEUMONIA/person3_bacteria_4.jpeg",  # person3 is in test
        "val/PNEUMONIA/person3_bacteria_5.jpeg",
        "train/NORMAL/NORMAL2-IM-0003-0009.jpeg",  # and so is IM3
        "val/PNEUMONIA/person1_bacteria_6.jpeg",  # person1 in train and val: these are pooled
    )
    scan = SOURCE.scan(make_folder((*plain_files, *more)), kermany_spec)
    assert len(scan.records) == 10
    assert scan.notes == ("2 patients are in test and outside it: their 3 images from outside go to test with them",)


def test_images_beside_the_class_folders_are_refused_for_nothing_labels_them(make_folder, plain_files, kermany_spec):
    odd = ("person7_virus_7.jpeg", "train/IM-0007-0001.jpeg", "train/OTHER/person8_virus_8.jpeg")
    scan = SOURCE.scan(make_folder((*plain_files, *odd)), kermany_spec)
    assert len(scan.records) == 6
    assert [(one.image_id, one.reason) for one in scan.refusals] == [
        ("person7_virus_7.jpeg", "no_label"),
        ("train/IM-0007-0001.jpeg", "no_label"),
        ("train/OTHER/person8_virus_8.jpeg", "other_class"),
    ]


def test_images_of_a_third_class_are_counted_and_left_out(make_folder, plain_files, kermany_spec):
    covid = [f"train/COVID/deep/c{number}.png" for number in range(3)] + ["test/COVID/c9.PNG", "test/COVID/about.txt"]
    scan = SOURCE.scan(make_folder((*plain_files, *covid)), kermany_spec)
    assert len(scan.records) == 6
    assert [(one.image_id, one.reason) for one in scan.refusals] == [
        ("test/COVID/c9.PNG", "other_class"),
        *((f"train/COVID/deep/c{number}.png", "other_class") for number in range(3)),
    ]
    assert scan.notes == (
        "1 images of folder test/COVID, a class beside NORMAL and PNEUMONIA, are left out: they are neither of the two",
        "3 images of folder train/COVID, a class beside NORMAL and PNEUMONIA, are left out: they are neither of the "
        "two",
    )


def test_a_third_class_beside_the_unsplit_pair_too(make_folder, kermany_spec):
    files = (
        "NORMAL/IM-0001-0001.jpeg",
        "PNEUMONIA/person1_virus_1.jpeg",
        "COVID/IM-0002-0001.jpeg",
        "Viral Pneumonia/1.png",
    )
    scan = SOURCE.scan(make_folder(files), kermany_spec)
    assert [one.image_id for one in scan.records] == list(files[:2])
    assert [one.reason for one in scan.refusals] == ["other_class", "other_class"]

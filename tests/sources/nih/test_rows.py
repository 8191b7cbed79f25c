"""What a row of the label table says, and what is wrong with one."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.labels import VOCABULARIES, LabelState
from cxr_tasks.contracts.specs import DatasetSpec
from cxr_tasks.sources.base import Box, SourceScan
from cxr_tasks.sources.nih.source import SOURCE
from tests.sources.nih.published import BOX_ROWS, HEADER_2017, ROWS, row, with_options

HEADER_2020 = HEADER_2017.rstrip(",").replace("Gender", "Sex")


def scan_row(write_nih: Callable[..., Path], spec: DatasetSpec, text: str) -> SourceScan:
    name = text.partition(",")[0]
    files = {"files": [f"images/{name}"]} if name and "/" not in name else {}
    return SOURCE.scan(write_nih([text], boxes=None, train_val=None, test=None, **files), spec)


def positives(scan: SourceScan) -> dict[str, set[str]]:
    return {
        one.image_id: {finding for finding, state in one.states.items() if state is LabelState.POSITIVE}
        for one in scan.records
    }


def test_a_record_holds_all_that_the_tables_say(write_nih, spec):
    scan = SOURCE.scan(write_nih(), spec)
    assert [
        (r.image_id, r.patient_id, r.study_id, r.official_split, r.view, r.sex, r.age_years) for r in scan.records
    ] == [
        ("images/00000001_000.png", "00000001", "00000001_000", "train", "pa", "male", 57.0),
        ("images/00000001_001.png", "00000001", "00000001_001", "train", "ap", "male", 58.0),
        ("images/00000002_000.png", "00000002", "00000002_000", "train", "pa", "female", 80.0),
        ("images/00000003_000.png", "00000003", "00000003_000", "test", "pa", "female", 74.0),
    ]
    assert positives(scan) == {
        "images/00000001_000.png": {"cardiomegaly"},
        "images/00000001_001.png": {"cardiomegaly", "pleural_effusion"},
        "images/00000002_000.png": set(),
        "images/00000003_000.png": {"hernia", "infiltration"},
    }
    # The table names every finding that is there, so the rest is negative and nothing unmentioned.
    assert Counter(state for one in scan.records for state in one.states.values()) == {
        LabelState.POSITIVE: 5,
        LabelState.NEGATIVE: 4 * 14 - 5,
    }
    assert scan.refusals == ()
    assert scan.notes == ("labels from Data_Entry_2017.csv",)


def test_boxes_keep_their_frame_for_ingest_to_scale(write_nih, spec):
    boxes = {one.image_id: (one.box_frame, one.boxes) for one in SOURCE.scan(write_nih(), spec).records}
    assert boxes == {
        "images/00000001_000.png": (
            (1024, 1024),
            (Box(finding="cardiomegaly", x=100.5, y=200, width=300, height=400.25),),
        ),
        "images/00000001_001.png": (None, ()),
        "images/00000002_000.png": (None, ()),
        "images/00000003_000.png": (
            (1024, 1024),
            (
                Box(finding="infiltration", x=10, y=20, width=30, height=40),
                Box(finding="infiltration", x=500, y=20, width=30, height=40),
            ),
        ),
    }


@pytest.mark.parametrize(
    "form",
    [
        {},  # 2017: header ends in a comma, rows do not
        {"rows": [f"{one}," for one in ROWS]},
        {"header": HEADER_2017.rstrip(",")},
        {"header": HEADER_2020, "table": "Data_Entry_2017_v2020.csv"},
        {"header": "\ufeff" + HEADER_2020},
        # saved again by a program that quotes what holds a comma, or numbers what has no name
        {"header": HEADER_2017.replace("OriginalImage[Width,Height]", '"OriginalImage[Width,Height]"')},
        {"header": HEADER_2017 + "Unnamed: 11", "rows": [f"{one}," for one in ROWS]},
        {"box_header": 'Image Index,Finding Label,"Bbox [x,y,w,h]"'},
        {"box_header": "Image Index,Finding Label,Bbox [x,y,w,h]", "boxes": [one.rstrip(",") for one in BOX_ROWS]},
        {"rows": [one.replace(",57,", ",057Y,").replace(",74,", ",074Y,") for one in ROWS]},  # the first publication
    ],
)
def test_all_published_forms_say_the_same(write_nih, spec, form):
    plain = SOURCE.scan(write_nih(folder="plain"), spec)
    assert SOURCE.scan(write_nih(**form), spec).records == plain.records


def test_the_version_of_2020_goes_before_that_of_2017(write_nih, spec):
    write_nih([one.replace(",57,", ",414,") for one in ROWS])
    scan = SOURCE.scan(write_nih(table="Data_Entry_2017_v2020.csv"), spec)
    assert scan.records[0].age_years == 57.0
    assert scan.notes == ("labels from Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv is there too and is not read")


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("58", 58.0),
        ("058", 58.0),
        ("060Y", 60.0),
        ("012M", 1.0),
        ("018M", 1.5),
        ("003D", 3 / 365.25),
        ("013W", 13 * 7 / 365.25),
        ("0", 0.0),
        ("58.0", 58.0),  # where a program took the column for floats
        ("120", 120.0),
    ],
)
def test_ages_in_years(write_nih, spec, text, years):
    scan = scan_row(write_nih, spec, row(age=text))
    assert scan.records[0].age_years == pytest.approx(years)


def test_impossible_and_missing_ages_are_unknown_and_counted(write_nih, spec):
    ages = ["414", "121", "148Y", "", "50"]
    names = [f"0000001{i}_000.png" for i in range(len(ages))]
    rows = [row(name, age=age) for name, age in zip(names, ages, strict=True)]
    files = [f"images/{name}" for name in names]
    scan = SOURCE.scan(write_nih(rows, boxes=None, train_val=names, test=[], files=files), spec)
    assert [one.age_years == one.age_years for one in scan.records] == [False, False, False, False, True]
    assert {"3 x age above 120 years, taken as unknown", "1 x no age given"} <= set(scan.notes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (row(labels="Pneumonia|Consolidaton"), "label 'Consolidaton' is not known; did you mean 'Consolidation'"),
        (row(labels="Infiltrate"), "label 'Infiltrate' is not known; did you mean 'Infiltration'"),  # of the box table
        (row(labels="effusion"), "label 'effusion' is not known.*known: Atelectasis, .*, Hernia, No Finding"),
        (row(labels="Mass|"), "label '' is not known"),
        (row(labels=""), "label '' is not known"),
        (row(labels="Mass;Nodule"), "label 'Mass;Nodule' is not known"),
        (row(labels="No Finding|Mass"), "'No Finding' together with a finding: 'No Finding|Mass'"),
        (row(age="fifty"), "Patient Age: expected years such as 58 or 058Y.*found 'fifty'"),
        (row(age="-3"), "Patient Age: expected"),
        (row(age="12X"), "Patient Age: expected"),
        (row(patient="P12"), "Patient ID: expected a whole number, found 'P12'"),
        (row(patient=""), "Patient ID: expected a whole number, found ''"),
        (row(patient="10"), "Patient ID: the image name '00000009_000.png' says another patient"),
        (row(follow_up="x"), "Follow-up #: expected a whole number, found 'x'"),
        (row(sex="W"), "Patient Gender: expected one of M, F, nothing, found 'W'"),
        (row(view="LATERAL"), "View Position: expected one of PA, AP, nothing, found 'LATERAL'"),
        ("," + row().partition(",")[2], "Image Index: expected a file name, found an empty cell"),
        ("00000009_000.png,Mass", "expected 11 cells as in the header, found 2"),
        (row() + ",0.2", "expected 11 cells as in the header, found 12"),
    ],
)
def test_a_fault_in_a_row_is_named_with_file_line_and_what_is_known(write_nih, spec, text, message):
    with pytest.raises(DataDefect, match=rf"/Data_Entry_2017\.csv, line 2: .*{message}"):
        scan_row(write_nih, spec, text)


def test_empty_sex_and_view_are_unknown(write_nih, spec):
    record = scan_row(write_nih, spec, row(sex="", view="")).records[0]
    assert (record.sex, record.view) == ("unknown", "unknown")


def test_an_image_listed_twice_is_a_defect_with_both_lines(write_nih, spec):
    root = write_nih([*ROWS, ROWS[1].replace("Effusion", "Mass")])
    with pytest.raises(DataDefect, match=r"line 6: Image Index '00000001_001\.png' stands on line 3 already; keep one"):
        SOURCE.scan(root, spec)


def test_two_names_for_one_file_are_a_defect(write_nih, spec):
    root = write_nih([*ROWS, ROWS[1].replace(".png", ".dcm")])
    with pytest.raises(
        DataDefect, match=r"line 6: '00000001_001\.dcm' is the file images/00000001_001\.png of line 3 already"
    ):
        SOURCE.scan(root, spec)


def test_a_table_without_rows_is_a_defect(write_nih, spec):
    with pytest.raises(DataDefect, match="expected a row per image, found a header and no rows"):
        SOURCE.scan(write_nih([]), spec)


@pytest.mark.parametrize(
    ("vocabulary", "of_last", "n_boxes_out"),
    [
        ("nih14", {"hernia", "infiltration"}, 0),
        ("shared7", set(), 2),  # neither hernia nor infiltration is shared
        ("pneumonia", set(), 3),
    ],
)
def test_a_vocabulary_is_filled_with_its_own_findings_only(write_nih, spec, vocabulary, of_last, n_boxes_out):
    scan = SOURCE.scan(write_nih(), dataclasses.replace(spec, vocabulary=vocabulary))
    assert {tuple(one.states) for one in scan.records} == {VOCABULARIES[vocabulary]}
    assert positives(scan)["images/00000003_000.png"] == of_last
    assert sum(len(one.boxes) for one in scan.records) == 3 - n_boxes_out
    counted = f"{n_boxes_out} x box of a finding outside the vocabulary, left out"
    assert (counted in scan.notes) == (n_boxes_out > 0)


def test_a_vocabulary_that_nih_does_not_label_is_refused(write_nih, spec):
    with pytest.raises(
        ConfigurationError, match=r"does not label no_finding, .*support_devices.*can fill: pneumonia, nih14, shared7$"
    ):
        SOURCE.scan(write_nih(), dataclasses.replace(spec, vocabulary="chexpert14"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"absent_bund": 0.1}, "'absent_bund' is not known; did you mean 'absent_bound'"),
        ({"absent_bound": 1.5}, "absent_bound: expected a value from 0 to 1, found 1.5"),
        ({"official_split": "no"}, "expected bool"),
    ],
)
def test_options_are_checked(write_nih, spec, options, message):
    with pytest.raises(ConfigurationError, match=message):
        SOURCE.scan(write_nih(), with_options(spec, **options))

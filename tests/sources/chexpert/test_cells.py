"""What the cells of a row say, and which are refused."""

from __future__ import annotations

import math

import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.labels import CHEXPERT_SPELLINGS, VOCABULARIES
from tests.sources.chexpert.scanning import FIRST, LATERAL, NEGATIVE, POSITIVE, UNCERTAIN, UNMENTIONED, scan
from tests.sources.chexpert_files import SMALL, Chexpert, default_train, row, write_table


def test_patient_study_view_sex_age_and_split_are_kept(tmp_path):
    found = scan(Chexpert().write(tmp_path))
    assert found.root == tmp_path / SMALL
    assert [
        (r.image_id, r.patient_id, r.study_id, r.view, r.sex, r.age_years, r.official_split) for r in found.records
    ] == [
        (FIRST, "patient00001", "patient00001/study1", "ap", "female", 68, "train"),
        (
            "train/patient00002/study1/view1_frontal.jpg",
            "patient00002",
            "patient00002/study1",
            "pa",
            "male",
            61,
            "train",
        ),
        (
            "train/patient00002/study2/view1_frontal.jpg",
            "patient00002",
            "patient00002/study2",
            "ap",
            "male",
            61,
            "train",
        ),
        (
            "valid/patient64541/study1/view1_frontal.jpg",
            "patient64541",
            "patient64541/study1",
            "ap",
            "male",
            61,
            "test",
        ),
    ]
    # By name, so that the dataset's provenance, card and report can say how many were left out.
    assert [(one.image_id, one.reason) for one in found.refusals] == [(LATERAL, "lateral_view")]
    assert found.notes == ("1 lateral images left out (option frontal_only)",)


def test_labels_stand_in_the_order_of_the_vocabulary(tmp_path):
    found = scan(Chexpert().write(tmp_path))
    findings = VOCABULARIES["chexpert14"]
    assert all(tuple(record.states) == findings for record in found.records)
    said = [{name: state for name, state in r.states.items() if state is not UNMENTIONED} for r in found.records]
    assert said[:3] == [
        {"no_finding": POSITIVE},
        {"edema": UNCERTAIN, "lung_opacity": POSITIVE},
        {"pleural_effusion": NEGATIVE},
    ]
    assert said[3] == {**dict.fromkeys(findings, NEGATIVE), "cardiomegaly": POSITIVE}


@pytest.mark.parametrize(
    ("cell", "state"),
    [
        ("1.0", POSITIVE),
        ("0.0", NEGATIVE),
        ("-1.0", UNCERTAIN),
        ("", UNMENTIONED),
        ("1", POSITIVE),  # copies saved by a spreadsheet
        ("0", NEGATIVE),
        ("-1", UNCERTAIN),
    ],
)
@pytest.mark.parametrize("column", ["No Finding", "Edema", "Support Devices"])
def test_codes(tmp_path, column, cell, state):
    found = scan(Chexpert(train=[row(FIRST, **{column: cell})]).write(tmp_path))
    states = dict(found.records[0].states)
    assert states.pop(CHEXPERT_SPELLINGS[column]) is state
    assert set(states.values()) == {UNMENTIONED}


@pytest.mark.parametrize("cell", ["2.0", "1.00", "True", "positive", "-1.0.", "nan", "u"])
def test_another_code_names_file_line_column_value_and_the_known_ones(tmp_path, cell):
    root = Chexpert(train=[*default_train(), row("train/patient7/study1/view1_frontal.jpg", Edema=cell)]).write(
        tmp_path
    )
    with pytest.raises(DataDefect) as caught:
        scan(root)
    text = str(caught.value)
    assert text.startswith(f"{root / SMALL / 'train.csv'}, line 6: Edema: {cell!r} is not known")
    assert text.endswith("known: 1.0, 0.0, -1.0, blank, 1, 0, -1")


@pytest.mark.parametrize(
    ("direction", "projection", "view"),
    [
        ("Frontal", "AP", "ap"),
        ("Frontal", "PA", "pa"),
        ("Frontal", "", "unknown"),
        ("Frontal", "LL", "unknown"),  # a lateral projection on a frontal row
        ("Frontal", "RL", "unknown"),
        ("Lateral", "", "lateral"),
        ("Lateral", "LL", "lateral"),
    ],
)
def test_views(tmp_path, direction, projection, view):
    path = f"train/patient00001/study1/view1_{direction.lower()}.jpg"
    found = scan(Chexpert(train=[row(path, **{"AP/PA": projection})]).write(tmp_path), frontal_only=False)
    assert found.records[0].view == view
    odd = "1 frontal images with the projection LL or RL, taken as view 'unknown'"
    assert (odd in found.notes) == (direction == "Frontal" and projection in {"LL", "RL"})


@pytest.mark.parametrize(
    ("cell", "age"),
    [
        ("18", 18.0),
        ("90", 90.0),  # 90 and older
        ("61.0", 61.0),
        ("0", math.nan),  # not known: the patients are adults
        ("", math.nan),
    ],
)
def test_ages(tmp_path, cell, age):
    found = scan(Chexpert(train=[row(FIRST, Age=cell)]).write(tmp_path))
    assert found.records[0].age_years == pytest.approx(age, nan_ok=True)
    assert ("1 ages of 0, taken as unknown" in found.notes) == (cell == "0")


@pytest.mark.parametrize(
    ("cell", "sex"), [("Male", "male"), ("Female", "female"), ("Unknown", "unknown"), ("", "unknown")]
)
def test_sexes(tmp_path, cell, sex):
    assert scan(Chexpert(train=[row(FIRST, Sex=cell)]).write(tmp_path)).records[0].sex == sex


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("Sex", "M"),
        ("Sex", "male"),
        ("Age", "-4"),
        ("Age", "old"),
        ("Age", "121"),
        ("Age", "nan"),
        ("Frontal/Lateral", ""),
        ("Frontal/Lateral", "frontal"),
        ("AP/PA", "ap"),
        ("AP/PA", "Lateral"),
        ("Path", ""),
        ("Path", "CheXpert-v1.0-small/train/../../../etc/passwd"),
        ("Path", "/etc/passwd"),
        ("Path", "../train/patient00001/study1/view1_frontal.jpg"),
        ("Path", "CheXpert-v1.0-small/train/patient00001/study1/../view1_frontal.jpg"),
        ("Path", "CheXpert-v1.0-small\\train\\patient00001\\study1\\view1_frontal.jpg"),
        ("Path", "CheXpert-v1.0-small/train/patient00001/view1_frontal.jpg"),  # no study
        ("Path", "CheXpert-v1.0-small/train/patient00001/study1/view1.jpg"),  # no direction
        ("Path", "CheXpert-v1.0-small/train/patient٣/study1/view1_frontal.jpg"),  # digits of another script
        ("Path", "CheXpert-v1.0-small/test/patient00001/study1/view1_frontal.jpg"),  # no such split
        ("Path", "CheXpert-v1.0-small/valid/patient00009/study1/view1_frontal.jpg"),  # the other table's
    ],
)
def test_other_cells_that_are_not_understood_name_file_line_and_column(tmp_path, column, cell):
    root = Chexpert().write(tmp_path)
    write_table(root / SMALL / "train.csv", Chexpert.columns, [*default_train(), row(FIRST, **{column: cell})])
    with pytest.raises(DataDefect, match=r"train\.csv, line 6: ") as caught:
        scan(root)
    assert f": {column}: " in str(caught.value)


@pytest.mark.parametrize("column", ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", "Edema"])
def test_a_missing_column_is_named(tmp_path, column):
    root = Chexpert(columns=[one for one in Chexpert.columns if one != column]).write(tmp_path)
    with pytest.raises(DataDefect, match=rf"train\.csv, line 1: expected a column '{column}'"):
        scan(root)

from __future__ import annotations

import csv
from collections import Counter

import pytest

from cxr_tasks.contracts.labels import CHEXPERT_SPELLINGS, LabelState
from cxr_tasks.sources.phantoms.drawing.cohort import PREVALENCES, Visit
from cxr_tasks.sources.phantoms.layouts.layout_chexpert import chexpert_states


@pytest.fixture(scope="module")
def chexpert(draw):
    return draw("chexpert")


def rows_of(chexpert, table):
    with open(chexpert.folder / table, newline="") as stream:
        return list(csv.DictReader(stream))


def make_visit(**states):
    known = dict.fromkeys(PREVALENCES, LabelState.NEGATIVE)
    return Visit(patient=1, number=0, split="train", sex="male", age_years=50, view="pa", states={**known, **states})


def test_the_chexpert_source_reads_back_labels_patients_and_views(chexpert):
    scan, files = chexpert.scan(frontal_only=False), chexpert.by_id
    assert {record.image_id for record in scan.records} == set(files)
    for record in scan.records:
        visit, is_lateral = files[record.image_id].known_visit, files[record.image_id].request.is_lateral
        for finding, state in chexpert_states(visit).items():
            # What is not there may go unmentioned in a report; nothing else changes.
            expected = {state} if state != LabelState.NEGATIVE else {LabelState.NEGATIVE, LabelState.UNMENTIONED}
            assert record.states[finding] in expected
        assert record.patient_id.endswith(f"patient{visit.patient:05d}")
        assert record.view == ("lateral" if is_lateral else visit.view)
        assert (record.sex, record.age_years) == (visit.sex, visit.age_years)
        assert record.official_split == ("train" if visit.split == "train" else "test")


def test_only_frontal_images_are_read_by_default(chexpert):
    n_lateral = sum(file.request.is_lateral for file in chexpert.files)
    assert n_lateral > 0
    assert len(chexpert.scan().records) == len(chexpert.files) - n_lateral


def test_training_labels_hold_all_four_states_and_radiologists_leave_no_blank(chexpert):
    train, valid = rows_of(chexpert, "train.csv"), rows_of(chexpert, "valid.csv")
    used = Counter(row[column] for row in train for column in CHEXPERT_SPELLINGS)
    assert set(used) == {"1.0", "0.0", "-1.0", ""}
    assert used[""] > used["0.0"] > used["-1.0"]
    assert {row[column] for row in valid for column in CHEXPERT_SPELLINGS} == {"1.0", "0.0"}
    assert {row["No Finding"] for row in train} == {"1.0", ""}
    assert {row["AP/PA"] for row in train if row["Frontal/Lateral"] == "Lateral"} == {""}


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ({}, {"no_finding": "positive", "lung_opacity": "negative"}),
        ({"support_devices": LabelState.POSITIVE}, {"no_finding": "positive"}),  # a device is no illness
        (
            {"nodule": LabelState.POSITIVE},
            {"lung_lesion": "positive", "lung_opacity": "positive", "no_finding": "negative"},
        ),
        ({"edema": LabelState.UNCERTAIN}, {"lung_opacity": "uncertain", "no_finding": "negative"}),
        ({"pleural_thickening": LabelState.POSITIVE}, {"pleural_other": "positive", "lung_opacity": "negative"}),
        ({"edema": LabelState.UNCERTAIN, "mass": LabelState.POSITIVE}, {"lung_opacity": "positive"}),
    ],
)
def test_columns_that_follow_from_others(shown, expected):
    states = chexpert_states(make_visit(**shown))
    assert list(states) == list(CHEXPERT_SPELLINGS.values())
    assert {finding: str(states[finding]) for finding in expected} == expected


def test_boxes_come_with_positive_findings_only_and_lie_in_the_vocabulary(chexpert):
    records = chexpert.scan().records
    assert sum(len(record.boxes) for record in records) > 50
    for record in records:
        assert all(record.states[box.finding] == "positive" for box in record.boxes)

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_tasks.contracts.labels import VOCABULARIES, LabelState
from cxr_tasks.sources.phantoms.drawing.cohort import PREVALENCES, draw_cohort

NIH14 = VOCABULARIES["nih14"]
SPLITS = {"train": 0.75, "test": 0.25}


def make_cohort(n_images=1500, seed=3, findings=NIH14, **more):
    return draw_cohort(n_images, seed, findings=findings, splits=SPLITS, **more)


def positives(visits, finding):
    return np.array([visit.has(finding) for visit in visits])


def test_same_seed_same_cohort():
    assert make_cohort(200) == make_cohort(200)
    assert make_cohort(200) != make_cohort(200, seed=4)


def test_fifteen_hundred_images_hold_sixty_of_each_finding_at_the_shares_written_down():
    visits = make_cohort()
    assert len(visits) == 1500
    for finding in NIH14:
        count = int(positives(visits, finding).sum())
        assert count >= 60
        assert count / 1500 == pytest.approx(PREVALENCES[finding], abs=0.002)


@settings(max_examples=40, deadline=None)
@given(n_images=st.integers(30, 400), seed=st.integers(0, 2**63 - 1))
def test_each_split_has_every_finding_and_its_absence_and_no_patient_is_in_two(n_images, seed):
    visits = make_cohort(n_images, seed)
    assert len({(visit.patient, visit.split) for visit in visits}) == len({visit.patient for visit in visits})
    assert len(visits) == n_images
    for split in SPLITS:
        here = [visit for visit in visits if visit.split == split]
        for finding in NIH14:
            assert {visit.states[finding] for visit in here} == {LabelState.POSITIVE, LabelState.NEGATIVE}


def test_a_patient_is_in_one_split_with_one_sex_and_ages_forward():
    by_patient = defaultdict(list)
    for visit in make_cohort():
        by_patient[visit.patient].append(visit)
    assert sorted(by_patient) == list(range(1, len(by_patient) + 1))
    for visits in by_patient.values():
        assert len({visit.split for visit in visits}) == len({visit.sex for visit in visits}) == 1
        assert [visit.number for visit in visits] == list(range(len(visits)))
        ages = [visit.age_years for visit in visits]
        assert ages == sorted(ages)
        assert 0 < ages[0] <= 94
    in_test = sum(visits[0].split == "test" for visits in by_patient.values())
    assert in_test / len(by_patient) == pytest.approx(0.25, abs=0.01)


def test_some_images_show_nothing_and_some_show_many():
    counts = Counter(sum(state is LabelState.POSITIVE for state in visit.states.values()) for visit in make_cohort())
    assert 0.25 < counts[0] / 1500 < 0.55
    assert sum(count for n, count in counts.items() if n >= 4) > 40


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("pleural_effusion", "edema"),
        ("pleural_effusion", "atelectasis"),
        ("cardiomegaly", "edema"),
        ("consolidation", "pneumonia"),
        ("emphysema", "pneumothorax"),
        ("fibrosis", "pleural_thickening"),
    ],
)
def test_related_findings_come_together_more_often_than_by_chance(one, other):
    visits = make_cohort(6000)
    both = (positives(visits, one) & positives(visits, other)).mean()
    assert both > 1.5 * PREVALENCES[one] * PREVALENCES[other]


def test_findings_last_from_one_image_of_a_patient_to_the_next():
    visits = make_cohort(6000)
    effusion = {(visit.patient, visit.number): visit.has("pleural_effusion") for visit in visits}
    next_ones = [effusion[p, n + 1] for (p, n), ill in effusion.items() if ill and (p, n + 1) in effusion]
    assert np.mean(next_ones) > 2 * PREVALENCES["pleural_effusion"]


def test_doubt_comes_beside_the_positives_and_only_where_asked_for():
    visits = make_cohort(uncertain={"train": 0.3})
    for split, share in (("train", 0.3), ("test", 0.0)):
        for finding in NIH14:
            states = Counter(visit.states[finding] for visit in visits if visit.split == split)
            assert states[LabelState.UNCERTAIN] == round(share * states[LabelState.POSITIVE])


def test_who_is_well_is_so_in_every_finding():
    for visit in make_cohort(300, uncertain={"train": 0.3}):
        assert visit.is_well == all(state is LabelState.NEGATIVE for state in visit.states.values())

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.subgroups import subgroup_rows
from cxr_tasks.evaluate.table import Scored
from cxr_tasks.statistics.scores import auroc
from cxr_tasks.statistics.shares import Comparison
from tests.evaluate.formulas import newcombe

#: sex, positives, of which found, negatives, of which cleared
GROUPS = [("female", 40, 20, 60, 30), ("male", 50, 45, 50, 40), ("unknown", 10, 0, 10, 0)]


@pytest.fixture
def case():
    sex, positive, called = [], [], []
    for name, n_positive, found, n_negative, cleared in GROUPS:
        sex += [name] * (n_positive + n_negative)
        positive += [True] * n_positive + [False] * n_negative
        called += [True] * found + [False] * (n_positive - found) + [False] * cleared + [True] * (n_negative - cleared)
    n = len(sex)
    table = pd.DataFrame(
        {"image_id": [f"i{i}" for i in range(n)], "source": "nih", "view": "pa", "sex": sex, "age_years": np.nan}
    )
    table.loc[: n // 2, "age_years"] = np.resize([0, 19.9, 20, 59, 60, 79, 80, 94], n // 2 + 1)
    rows = Scored(
        finding="mass", split="test", is_positive=np.array(positive), logit=np.random.default_rng(0).normal(size=n),
        patient_key=np.arange(n).astype(str), image_id=table["image_id"].to_numpy(str), n_unknown=0,
    )  # fmt: skip
    found = subgroup_rows(rows, np.array(called), table, None, EvaluateSpec())
    return rows, table, {(one.by, one.value): one for one in found}


def test_shares_and_gaps_by_hand(case):
    rows, table, by = case
    female, male = by["sex", "female"], by["sex", "male"]
    assert (female.n, female.n_positive) == (100, 40)
    assert female.sensitivity.value == 0.5
    assert female.specificity.value == 0.5
    # The rest is the other known sex, not the images of unknown sex.
    expected = newcombe(20, 40, 45, 50, 0.95)
    assert female.sensitivity_gap == (expected.value, expected.lower, expected.upper)
    assert female.sensitivity_gap[0] == pytest.approx(-0.4)
    assert female.sensitivity_gap[2] < 0
    assert male.sensitivity_gap[0] == pytest.approx(0.4)
    assert male.specificity_gap[0] == pytest.approx(0.3)
    missed = newcombe(20, 40, 5, 50, 0.95)
    assert female.false_negative_rate_gap == pytest.approx((missed.value, missed.lower, missed.upper))
    is_female = (table["sex"] == "female").to_numpy()
    value = auroc(rows.is_positive[is_female], rows.logit[is_female])
    assert female.auroc.value == pytest.approx(value)
    assert female.auroc.lower < value < female.auroc.upper


def test_groups_count_patients(case):
    """Each image ten times over, of the same patient, tells no more; the gap can be made again from what is kept."""
    rows, table, once = case
    tens = {name: np.repeat(getattr(rows, name), 10) for name in ("is_positive", "logit", "patient_key")}
    often = dataclasses.replace(rows, **tens, image_id=np.arange(rows.n * 10).astype(str))
    described = table.loc[np.repeat(np.arange(len(table)), 10)].assign(image_id=often.image_id)
    called = np.concatenate(
        [
            np.repeat([True, False, False, True], [found, n_positive - found, cleared, n_negative - cleared])
            for _, n_positive, found, n_negative, cleared in GROUPS
        ]
    )
    again = subgroup_rows(often, np.repeat(called, 10), described, None, EvaluateSpec())
    (female,) = (one for one in again if one.value == "female")
    first = once["sex", "female"]
    assert (female.n, female.n_patients, first.n_patients) == (1000, 100, 100)
    for name in ("auroc", "sensitivity", "specificity", "sensitivity_gap", "specificity_gap"):
        assert getattr(female, name) == pytest.approx(getattr(first, name), abs=0.02), name
    kept = Comparison.of_facts(female.compared["sensitivity"]).difference(0.95)
    assert (kept.value, kept.lower, kept.upper) == female.sensitivity_gap


def test_unknown_is_no_group_and_one_value_splits_nothing(case):
    assert {name for name, _ in case[2]} == {"sex", "age_years"}
    assert ("sex", "unknown") not in case[2]


def test_two_sources_are_two_groups(case):
    rows, table, _ = case
    table = table.assign(source=np.where(np.arange(len(table)) < 100, "nih", "chexpert"))
    called = np.arange(rows.n) < 60
    by = {one.value: one for one in subgroup_rows(rows, called, table, None, EvaluateSpec()) if one.by == "source"}
    assert {name: (one.n, one.n_positive) for name, one in by.items()} == {
        "nih": (100, 40),
        "chexpert": (120, 60),
    }
    # All 40 of the one are called, none of the 60 of the other; 20 of 60 negatives against none of 60.
    expected = newcombe(40, 40, 0, 60, 0.95)
    assert by["nih"].sensitivity_gap == (expected.value, expected.lower, expected.upper)
    assert by["chexpert"].false_negative_rate_gap == by["nih"].sensitivity_gap
    assert by["nih"].specificity_gap[0] == pytest.approx(-1 / 3)


def test_age_bands_hold_their_edges(case):
    assert {value for by, value in case[2] if by == "age_years"} == {"0-19", "20-39", "40-59", "60-79", "80+"}
    _, table, by = case
    assert by["age_years", "0-19"].n == int((table["age_years"] < 20).sum())
    assert by["age_years", "80+"].n == int((table["age_years"] >= 80).sum())


def test_few_positives_are_said_on_either_side_and_too_few_have_no_auroc(case):
    rows, table, _ = case
    table = table.assign(view=["lateral"] * 3 + ["ap"] * 16 + ["pa"] * (len(table) - 19))
    by = {
        one.value: one
        for one in subgroup_rows(rows, np.ones(rows.n, bool), table, None, EvaluateSpec())
        if one.by == "view"
    }
    assert (by["lateral"].n_positive, by["lateral"].auroc, by["lateral"].is_weak) == (3, None, True)
    assert (by["ap"].n_positive, by["ap"].is_weak, by["ap"].is_gap_weak) == (16, True, True)
    # PA has positives enough, and only 19 stand against them.
    assert (by["pa"].n_positive, by["pa"].is_weak, by["pa"].is_gap_weak) == (81, False, True)
    assert by["lateral"].specificity is None
    assert by["lateral"].specificity_gap is None

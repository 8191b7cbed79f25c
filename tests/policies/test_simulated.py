"""Each shipped policy on simulated models at its dataset's real sizes, and the table beside it."""

from __future__ import annotations

import numpy as np
import pytest

from cxr_tasks.contracts.policies import POLICIES_FOLDER
from cxr_tasks.evaluate.table import scored
from cxr_tasks.statistics.patients import patient_numbers
from tests.policies import judging
from tests.policies.cohorts import COHORTS, draw
from tests.policies.table import (
    ENOUGH,
    FIRST_SEEDS,
    HONEST,
    N_TOLD,
    PASSED,
    REFUSED,
    asked_sha256,
    kinds_of,
    outcome,
    read_rows,
)

MODELS = sorted({one.model for one in COHORTS.values()})
#: Draws of each row that are drawn again, fewer where one costs seconds. The whole table is remade by
#: ``python -m tests.policies.table``.
REPEATED = {"nih": 1, "chexpert": 1, "nih_sample": 2, "synthetic_multilabel": 2}


def row_of(dataset, kind):
    (found,) = [
        one for one in read_rows(COHORTS[dataset].model) if (one["dataset"], one["model"]) == (dataset, kind.name)
    ]
    return found


CASES = [(dataset, kind) for dataset, cohort in COHORTS.items() for kind in kinds_of(cohort)]
NAMES = [f"{dataset}-{kind.name}" for dataset, kind in CASES]


@pytest.mark.parametrize(("dataset", "kind"), CASES, ids=NAMES)
def test_the_table_is_of_what_the_policy_asks_today(dataset, kind):
    """A changed bound needs the simulation again: ``python -m tests.policies.table``."""
    assert row_of(dataset, kind)["asked"] == asked_sha256(COHORTS[dataset])


@pytest.mark.parametrize(("dataset", "kind"), CASES, ids=NAMES)
def test_honest_models_pass_and_broken_ones_do_not(dataset, kind):
    """Where that is not so the row's note says why."""
    row = row_of(dataset, kind)
    share = row["refused"] / row["n"]
    is_met = share <= 1.0 - ENOUGH if kind.name == HONEST else share >= ENOUGH
    if kind.name == HONEST or kind.must_be_refused:
        assert is_met or row["note"], row


@pytest.mark.parametrize(("dataset", "kind"), CASES, ids=NAMES)
def test_the_first_draws_come_out_as_the_table_says(dataset, kind):
    """Through evaluation's functions and the gate's rules: what changes there shows here, and asks for a new table."""
    cohort = COHORTS[dataset]
    told = row_of(dataset, kind)["first"]
    again = "".join(outcome(cohort, kind, FIRST_SEEDS[dataset] + i) for i in range(REPEATED.get(dataset, len(told))))
    assert again == told[: len(again)]


@pytest.mark.parametrize(("dataset", "kind"), CASES, ids=NAMES)
def test_a_row_tells_of_enough_draws(dataset, kind):
    row = row_of(dataset, kind)
    assert row["n"] >= (100 if kind.name == HONEST else 40)
    assert set(row["first"]) <= {REFUSED, PASSED}
    assert len(row["first"]) == N_TOLD
    assert row["first"].count(REFUSED) <= row["refused"] <= row["n"] - row["first"].count(PASSED)


@pytest.mark.parametrize("dataset", ["nih_sample", "chexpert", "kermany"])
def test_a_drawn_cohort_has_the_images_patients_and_positives_of_its_dataset(dataset):
    cohort, table = COHORTS[dataset], draw(COHORTS[dataset], seed=0)
    for place, split in enumerate(("validation", "test")):
        part = table[table["split"] == split]
        assert (len(part), part["patient_key"].nunique()) == (cohort.validation, cohort.test)[place]
        for finding, shares in cohort.prevalence.items():
            assert part[f"target_{finding}"].sum() == round(shares[place] * len(part))


@pytest.mark.parametrize("model", MODELS)
def test_a_table_stands_beside_each_policy(model):
    assert (POLICIES_FOLDER / f"{model}.yaml").is_file()
    assert {one["dataset"] for one in read_rows(model)} == {
        one.dataset for one in COHORTS.values() if one.model == model
    }


@pytest.mark.parametrize("dataset", list(COHORTS))
def test_no_drawn_patient_has_more_images_than_there_are_of_one(dataset):
    """Where patients were drawn without that limit, one of them had up to 9,660 of NIH's 25,596 test images."""
    cohort, table = COHORTS[dataset], draw(COHORTS[dataset], seed=1)
    assert table.groupby(["split", "patient_key"]).size().max() <= cohort.most_images


def test_images_read_once_are_those_of_the_table():
    table = draw(COHORTS["kermany"], seed=0)
    known, found = scored(table, "test", "pneumonia"), judging.Images.of(table, "test").scored("test", "pneumonia")
    np.testing.assert_array_equal(found.is_positive, known.is_positive)
    np.testing.assert_array_equal(found.logit, known.logit)
    np.testing.assert_array_equal(found.patient_key, patient_numbers(known.patient_key))
    assert (found.n_patients, found.n_unknown) == (known.n_patients, known.n_unknown)

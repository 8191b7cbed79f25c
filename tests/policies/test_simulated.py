"""Each shipped policy on simulated models at its dataset's real sizes, and the table beside it."""

from __future__ import annotations

import pytest

from cxr_tasks.contracts.policies import POLICIES_FOLDER
from tests.policies.cohorts import COHORTS, draw
from tests.policies.table import ENOUGH, HONEST, KINDS, asked_of, asked_sha256, is_refused, kinds_of, read_rows

MODELS = sorted({one.model for one in COHORTS.values()})
#: Of the cohorts whose repetition takes a tenth of a second. The whole table is remade by ``tests.policies.table``.
QUICK = ("kermany", "synthetic_binary")
REPEATED = 12


def row_of(dataset, kind):
    (found,) = [
        one for one in read_rows(COHORTS[dataset].model) if (one["dataset"], one["model"]) == (dataset, kind.name)
    ]
    return found


#: Not simulated yet at these sizes: an hour's work.
NOT_DRAWN = {
    ("nih", "odds divided by 5 on one finding"),
    ("nih", "logits times 4 on one finding"),
    ("nih", "chance on one finding"),
    ("nih", "the ill of one group missed"),
}
CASES = [
    (dataset, kind)
    for dataset, cohort in COHORTS.items()
    for kind in kinds_of(cohort)
    if (dataset, kind.name) not in NOT_DRAWN
]
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


@pytest.mark.parametrize("dataset", QUICK)
@pytest.mark.parametrize("kind", KINDS, ids=[one.name for one in KINDS])
def test_the_simulation_gives_what_the_table_says(dataset, kind):
    """A part of it, through evaluation's functions and the gate's rules: a change there shows here."""
    cohort = COHORTS[dataset]
    if kind not in kinds_of(cohort):
        pytest.skip(f"{dataset} tells of no such group")
    refused = sum(is_refused(cohort, asked_of(cohort), kind, seed) for seed in range(REPEATED))
    row = row_of(dataset, kind)
    assert abs(refused / REPEATED - row["refused"] / row["n"]) <= 0.25, (refused, row)


@pytest.mark.parametrize("dataset", ["nih_sample", "chexpert"])
def test_a_collapsed_threshold_is_refused_on_the_real_sizes(dataset):
    cohort = COHORTS[dataset]
    kind = KINDS[1]
    assert all(is_refused(cohort, asked_of(cohort), kind, seed) for seed in range(3))


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


def test_what_was_not_drawn_is_in_no_table():
    drawn = {(one["dataset"], one["model"]) for model in MODELS for one in read_rows(model)}
    assert not drawn & NOT_DRAWN

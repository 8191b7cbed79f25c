"""Rare findings in every split, and shares near the whole."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_tasks.contracts.labels import VOCABULARIES, label_column
from cxr_tasks.contracts.specs import SplitSpec
from cxr_tasks.ingest.grouping.splits import assign_splits
from cxr_tasks.ingest.grouping.stratify import Pool, stratify

COLUMNS = [label_column(finding) for finding in VOCABULARIES["nih14"]]
#: Percent positive in NIH ChestX-ray14, in the order of the vocabulary.
NIH_PERCENT = (10.31, 2.48, 11.88, 17.74, 5.16, 5.65, 1.28, 4.73, 4.16, 2.05, 2.24, 1.50, 3.02, 0.20)


def nih_like(n_patients, seed=0):
    """Labels at the frequencies of NIH, 1 to 6 images a patient."""
    rng = np.random.default_rng(seed)
    patient = pd.Series([f"p{number}" for number in range(n_patients) for _ in range(rng.integers(1, 7))])
    is_positive = rng.random((len(patient), len(COLUMNS))) < np.array(NIH_PERCENT) / 100
    return patient, pd.DataFrame(np.where(is_positive, "positive", "negative"), columns=COLUMNS)


def deal(patient, labels, spec, previous=None):
    return assign_splits(patient, pd.Series("", index=patient.index), labels, spec, previous=previous)


@pytest.mark.parametrize("seed", range(5))
def test_rare_findings_reach_every_split_at_about_their_share(seed):
    patient, labels = nih_like(1500, seed)
    split = deal(patient, labels, SplitSpec(salt=str(seed), validation=0.1, test=0.2))
    positive = labels == "positive"
    counts = positive.groupby(split).sum()
    assert (counts > 0).all(axis=None)
    for name, share in (("train", 0.72), ("validation", 0.08), ("test", 0.2)):
        expected = share * positive.sum()
        # Two standard deviations of what plain chance would give, over findings from 10 to 900 images.
        assert (abs(counts.loc[name] - expected) <= 2 * np.sqrt(expected) + 1).all(), name


def test_shares_are_nearer_to_the_whole_than_by_hash_alone():
    spec = SplitSpec(salt="s", validation=0.15)
    off, off_by_hash = [], []
    for seed in range(8):
        patient, labels = nih_like(800, seed)
        by_hash = deal(patient, labels.assign(**dict.fromkeys(COLUMNS, "uncertain")), spec)
        for split, into in ((deal(patient, labels, spec), off), (by_hash, off_by_hash)):
            positive = (labels == "positive").astype(float)
            into.append(abs(positive[split == "validation"].sum() / positive.sum() / 0.15 - 1).mean())
    assert np.mean(off) < 0.6 * np.mean(off_by_hash)


def test_only_new_patients_are_moved_for_it():
    patient, labels = nih_like(600)
    known = pd.Series("train", index=[f"p{number}" for number in range(0, 600, 2)])
    split = deal(patient, labels, SplitSpec(salt="s", validation=0.15, test=0.15), known)
    of_patient = split.groupby(patient).first()
    assert (of_patient[known.index] == "train").all()
    counts = (labels == "positive").groupby(split).sum()
    assert (counts > 0).all(axis=None)
    # Known ones fill train; new ones make up for it, so the whole still has its 15 % of test.
    assert 0.1 < (of_patient == "test").mean() < 0.2


def test_where_nothing_is_called_negative_all_that_is_not_positive_stands_for_it():
    labels = pd.DataFrame({"label_no_finding": ["positive", "unmentioned", "uncertain"]})
    pool = Pool.of(labels, pd.Series(["a", "a", "b"]), pd.Index(["a", "b"]))
    assert pool.states == ("positive label_no_finding", "not positive label_no_finding")
    assert pool.n_images.tolist() == [[1, 1], [0, 1]]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=60),
    seed=st.integers(0, 1000),
)
def test_no_move_takes_the_last_of_a_state_from_a_split_and_known_groups_stay(rows, seed):
    table = np.array(rows)
    carries, is_free = table[:, :3].astype(int), table[:, 3]
    place = np.random.default_rng(seed).random(len(table))
    split = np.where(place < 0.2, "test", np.where(place < 0.36, "validation", "train")).astype(object)
    dealt = stratify(
        Pool(("a", "b", "c"), carries),
        split=split,
        place=place,
        is_free=is_free,
        shares={"test": 0.2, "validation": 0.16},
    )
    assert (dealt[~is_free] == split[~is_free]).all()
    for state in range(3):
        before, after = (set(one[carries[:, state] > 0]) for one in (split, dealt))
        assert before <= after
    if is_free.all() and len(table) >= 6 and (carries == carries[0]).all():  # one state is as good as another
        assert set(dealt) == {"train", "validation", "test"} or not carries.any()

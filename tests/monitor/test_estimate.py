"""What is expected of a model from its own probabilities: right where they are right, and only there."""

from __future__ import annotations

import numpy as np
import pytest

from cxr_tasks.monitor.estimate import estimates
from cxr_tasks.statistics.scores import auroc
from tests.monitor.worlds import drawn


def by_name(table):
    probability = table["probability_pneumonia"].to_numpy()
    return {one.name: one for one in estimates(probability, probability >= 0.3)}


def measured(table):
    positive, called = table["target_pneumonia"].to_numpy() == 1, table["decision_pneumonia"].to_numpy(bool)
    return {
        "prevalence": positive.mean(),
        "auroc": auroc(positive, table["probability_pneumonia"].to_numpy()),
        "sensitivity": called[positive].mean(),
        "specificity": (~called)[~positive].mean(),
    }


def test_calibrated_scores_tell_what_would_be_measured():
    hits = dict.fromkeys(("prevalence", "auroc", "sensitivity", "specificity"), 0)
    n_worlds = 10
    for seed in range(n_worlds):
        table = drawn(np.random.default_rng(seed), 800)
        found, true = by_name(table), measured(table)
        for name in hits:
            hits[name] += found[name].lower <= true[name] <= found[name].upper
    assert min(hits.values()) >= 7, hits  # of ten 95 % intervals, 6 or fewer hold once in a thousand times


def test_it_follows_an_easier_mix_and_does_not_see_wrong_probabilities():
    table = drawn(np.random.default_rng(1), 4000)
    easy = table[abs(table["logit_pneumonia"]) > 1.5]
    assert by_name(easy)["auroc"].value == pytest.approx(measured(easy)["auroc"], abs=0.02)
    # Twice as many ill as the probabilities say: the limit that the page names.
    doubled = drawn(np.random.default_rng(1), 4000, "prevalence")
    assert measured(doubled)["prevalence"] - by_name(doubled)["prevalence"].value > 0.08


def test_no_positive_is_nothing_to_say():
    found = estimates(np.zeros(300), np.zeros(300, bool))
    assert [one.value for one in found] == [0.0, None, None, 1.0]

"""Differences of AUROCs that a few errors make: held to their level where the models do differ."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm

from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.table import Scored
from cxr_tasks.gate.comparison import Pair, mean_auroc_difference
from cxr_tasks.statistics.auroc_differences import paired_difference
from cxr_tasks.statistics.delong import delong
from cxr_tasks.statistics.intervals import z_of
from tests.evaluate.clusters import truth_of

Z = z_of(0.95)


def two_models(rng, n_positive, n, aurocs, correlation):
    """Normal scores of two models with these true AUROCs."""
    positive, common = np.arange(n) < n_positive, rng.normal(size=n)
    scores = [
        math.sqrt(2) * norm.ppf(auroc) * positive
        + math.sqrt(correlation) * common
        + math.sqrt(1 - correlation) * rng.normal(size=n)
        for auroc in aurocs
    ]
    return positive, scores


@pytest.mark.parametrize(
    ("n_positive", "n", "aurocs", "by_delong"),
    [(8, 180, (0.95, 0.97), 0.10), (15, 300, (0.985, 0.995), 0.15), (60, 400, (0.95, 0.97), 0.04)],
)
def test_a_loss_of_the_margin_is_seldom_taken_for_none(n_positive, n, aurocs, by_delong):
    """600 pairs: the lower end lies above the true difference in 2.5 % or fewer, DeLong's in many more."""
    rng, true, passed, by_plain, times = np.random.default_rng(20261129), aurocs[0] - aurocs[1], 0, 0, 600
    for _ in range(times):
        positive, (one, other) = two_models(rng, n_positive, n, aurocs, 0.85)
        found = paired_difference(positive, one, other)
        passed += found.interval(0.95).lower > true
        by_plain += found.value - Z * found.error > true
    assert passed / times <= 0.035
    assert by_plain / times > by_delong


def test_equal_models_are_seldom_shown_to_differ():
    """The p-value of a loss holds its level at the margin: few errors of the champion are not taken for certainty."""
    rng, times, shown = np.random.default_rng(20261129), 500, 0
    margin = 0.02
    for _ in range(times):
        positive, (one, other) = two_models(rng, 15, 300, (0.95, 0.97), 0.85)
        shown += paired_difference(positive, one, other).p_below(-margin) <= 0.05
    assert shown / times <= 0.065


def test_an_interval_turns_round_with_its_models():
    positive, (one, other) = two_models(np.random.default_rng(3), 12, 200, (0.97, 0.93), 0.5)
    found, turned = (paired_difference(positive, *pair).interval(0.95) for pair in ((one, other), (other, one)))
    assert "few errors" in found.method
    assert (turned.lower, turned.upper) == pytest.approx((-found.upper, -found.lower), abs=1e-12)
    assert found.lower < found.value < found.upper


def test_p_values_and_intervals_say_the_same():
    positive, (one, other) = two_models(np.random.default_rng(4), 12, 200, (0.93, 0.97), 0.5)
    found = paired_difference(positive, one, other)
    assert found.few is not None
    assert found.p_below(found.interval(0.95).upper) == pytest.approx(0.025, abs=1e-6)


def test_two_perfect_models_may_still_differ():
    """By as much as puts one of them q errors below 1: half of q^2 over the positives and half of q^2."""
    positive, rng = np.arange(100) < 20, np.random.default_rng(0)
    one, other = (positive * 50.0 + rng.normal(size=100) for _ in range(2))
    found = paired_difference(positive, one, other)
    assert (found.value, found.error) == (0.0, 0.0)
    lower = -(Z**2 / 2) / (20 + Z**2 / 2)
    assert found.interval(0.95).lower == pytest.approx(lower, abs=1e-9)
    assert paired_difference(positive, one, one * 2 + 1).interval(0.95).lower == 0.0


def test_with_many_errors_it_is_delongs():
    positive, (one, other) = two_models(np.random.default_rng(5), 60, 200, (0.8, 0.85), 0.5)
    found = paired_difference(positive, one, other)
    values, covariance = delong(positive, np.stack([one, other]))
    error = math.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    interval = found.interval(0.95)
    assert found.few is None
    assert interval.method == "paired DeLong 95 %"
    assert interval.lower == pytest.approx(values[0] - values[1] - Z * error, abs=1e-12)


def test_the_champion_of_one_finding_is_compared_so():
    """The rule on the mean of a model with one finding, which is that finding's."""
    positive, (one, other) = two_models(np.random.default_rng(6), 15, 300, (truth_of(2.6), truth_of(2.6)), 0.85)
    key = np.arange(300).astype(str)
    rows = Scored("edema", "test", positive, one, key, key, 0)
    found = mean_auroc_difference([Pair(rows, other)], EvaluateSpec(bootstrap_samples=100))
    assert found.lower == pytest.approx(paired_difference(positive, one, other, key).interval(0.95).lower)
    assert "few errors" in found.method

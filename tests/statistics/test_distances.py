from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_tasks.statistics.distances import chance_psi, jensen_shannon_distance, merged_bins, population_stability_index

histograms = st.integers(2, 8).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 50), min_size=n, max_size=n).filter(any) for _ in range(2)])
)


@pytest.mark.parametrize(
    ("expected", "actual", "psi"),
    [
        ([50, 50], [50, 50], 0.0),
        ([50, 50], [500, 500], 0.0),  # shares count, not sizes
        ([50, 50], [60, 40], 0.1 * math.log(0.6 / 0.4)),  # by hand: .1 ln 1.2 + -.1 ln .8
        ([10, 20, 70], [20, 20, 60], 0.1 * math.log(2) - 0.1 * math.log(6 / 7)),
        ([100, 0], [50, 50], -0.5 * math.log(0.5) + (0.5 - 0.005) * math.log(0.5 / 0.005)),  # empty is half an image
        ([10, 0, 90], [10, 0, 90], 0.0),  # empty on both sides
    ],
)
def test_psi_of_known_histograms(expected, actual, psi):
    assert population_stability_index(np.array(expected), np.array(actual)) == pytest.approx(psi)


@given(histograms)
def test_psi_is_never_negative_and_does_not_depend_on_the_order_of_bins(pair):
    one, other = map(np.array, pair)
    psi = population_stability_index(one, other)
    assert psi >= 0
    assert population_stability_index(one[::-1], other[::-1]) == pytest.approx(psi)


@given(histograms)
def test_jensen_shannon_is_the_same_both_ways_and_at_most_1(pair):
    one, other = map(np.array, pair)
    assert 0 <= jensen_shannon_distance(one, other) <= 1
    assert jensen_shannon_distance(one, other) == pytest.approx(jensen_shannon_distance(other, one), abs=1e-7)


def test_jensen_shannon_is_in_bits_and_the_square_root():
    divergence = (math.log2(1 / 0.75) + 0.5 * math.log2(0.5 / 0.75) + 0.5 * math.log2(0.5 / 0.25)) / 2
    assert jensen_shannon_distance(np.array([4, 0]), np.array([3, 3])) == pytest.approx(math.sqrt(divergence))


def test_jensen_shannon_spans_zero_to_one():
    assert jensen_shannon_distance(np.array([3, 5]), np.array([6, 10])) == 0.0
    assert jensen_shannon_distance(np.array([3, 0]), np.array([0, 8])) == 1.0


def test_a_small_change_has_a_squared_distance_of_psi_over_8_ln_2():
    one, other = np.array([500, 500]), np.array([520, 480])
    psi = population_stability_index(one, other)
    assert jensen_shannon_distance(one, other) ** 2 == pytest.approx(psi / (8 * math.log(2)), rel=0.01)


def test_chance_is_passed_once_in_a_thousand_draws():
    rng = np.random.default_rng(0)
    shares, n_one, n_other = np.full(10, 0.1), 800, 300
    draws = [
        population_stability_index(rng.multinomial(n_one, shares), rng.multinomial(n_other, shares))
        for _ in range(4000)
    ]
    assert np.mean(np.array(draws) > chance_psi(10, n_one, n_other)) < 0.004
    assert np.mean(draws) == pytest.approx(9 * (1 / n_one + 1 / n_other), rel=0.1)  # the bias of small samples
    assert chance_psi(1, 10, 10) == 0.0


@pytest.mark.parametrize("broken", [([1, 2], [1, 2, 3]), ([0, 0], [1, 2]), ([1, 2], [0, 0]), ([-1, 2], [1, 2])])
def test_histograms_that_cannot_be_compared_are_refused(broken):
    one, other = map(np.array, broken)
    for distance in (population_stability_index, jensen_shannon_distance):
        with pytest.raises(ValueError, match="expected"):
            distance(one, other)


@given(histograms, st.integers(1, 10))
def test_merging_keeps_every_image_and_makes_no_more_bins_than_asked(pair, n_bins):
    one, other = map(np.array, pair)
    merged_one, merged_other = merged_bins(one, other, n_bins=n_bins)
    assert (merged_one.sum(), merged_other.sum()) == (one.sum(), other.sum())
    assert len(merged_one) == len(merged_other) <= n_bins


def test_merged_bins_hold_equal_shares_of_the_first():
    fine = np.full(100, 3)
    assert merged_bins(fine, fine, n_bins=10)[0].tolist() == [30] * 10

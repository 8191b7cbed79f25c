from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from cxr_tasks.statistics.calibration import (
    bins_of,
    fit_calibration,
    fit_platt,
    fit_temperature,
    sigmoid,
)
from tests.evaluate.formulas import weighted_brier, weighted_ece


def test_the_fit_recovers_a_known_distortion():
    rng = np.random.default_rng(0)
    true_logit = rng.normal(0, 2, 40_000)
    positive = rng.random(40_000) < sigmoid(true_logit)
    platt = fit_platt(positive, (true_logit - 0.7) / 0.4)  # so a = 0.4, b = 0.7
    assert platt.a == pytest.approx(0.4, abs=0.02)
    assert platt.b == pytest.approx(0.7, abs=0.05)
    assert not platt.note


def test_the_fit_is_the_logistic_regression_of_scikit_learn():
    """With many images Platt's smoothed targets are nearly 0 and 1, so the unpenalised regression must agree."""
    rng = np.random.default_rng(1)
    logit = rng.normal(0, 30, 20_000)
    positive = rng.random(20_000) < sigmoid(0.05 * logit - 0.4)
    reference = LogisticRegression(C=np.inf, tol=1e-8).fit(logit[:, None], positive)
    platt = fit_platt(positive, logit)
    assert platt.a == pytest.approx(reference.coef_[0, 0], rel=2e-3)
    assert platt.b == pytest.approx(reference.intercept_[0], rel=2e-3)


@pytest.mark.parametrize("scale", [0.001, 1.0, 500.0])
def test_separable_classes_stay_finite_and_short_of_certainty(scale):
    logit = scale * np.array([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0])
    positive = logit > 0
    platt = fit_platt(positive, logit)
    p = platt.probabilities(logit)
    assert np.isfinite([platt.a, platt.b]).all()
    assert p[positive].min() > 0.5 > p[~positive].max()
    # The smoothed targets are 4/5 and 1/5, so the mean over either class is not driven to 0 or 1.
    assert 0.7 < p[positive].mean() < 0.95


@pytest.mark.parametrize(
    "logit",
    [
        np.array([3.0, 2.0, 1.0, -1.0, -2.0, -3.0]),  # ranks the wrong way round
        np.zeros(6),  # says the same of every image
    ],
)
def test_a_slope_that_would_turn_the_ranking_round_is_not_taken(logit):
    positive = np.array([False, False, False, True, True, True])
    platt = fit_platt(positive, logit)
    assert 0 < platt.a < 0.1
    assert "not above 0" in platt.note
    np.testing.assert_allclose(platt.probabilities(logit), 0.5, atol=0.01)


@given(st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_calibration_never_changes_the_order_of_images(seed):
    rng = np.random.default_rng(seed)
    positive = np.r_[True, False, rng.random(60) < 0.4]
    logit = rng.normal(0, 3, 62) + rng.uniform(-1, 3) * positive
    platt = fit_platt(positive, logit)
    calibrated = platt.logits(logit)
    assert platt.a > 0
    assert (np.argsort(calibrated, kind="stable") == np.argsort(logit, kind="stable")).all()


def test_calibration_improves_overconfident_probabilities():
    rng = np.random.default_rng(2)
    true_logit = rng.normal(0, 1.5, 4000)
    positive = rng.random(4000) < sigmoid(true_logit)
    platt = fit_platt(positive[:2000], 4 * true_logit[:2000])
    held, logit = positive[2000:], 4 * true_logit[2000:]
    for measure, factor in ((weighted_ece, 0.5), (weighted_brier, 0.9)):
        assert measure(held, platt.probabilities(logit), None)[0] < factor * measure(held, sigmoid(logit), None)[0]


def test_brier_and_ece_by_hand():
    positive = np.array([True, False, True, False])
    p = np.array([0.85, 0.85, 0.25, 0.25])
    assert weighted_brier(positive, p, None)[0] == pytest.approx((0.0225 + 0.7225 + 0.5625 + 0.0625) / 4)
    # Two bins of two images each, half of them positive: gaps 0.35 and 0.25.
    assert weighted_ece(positive, p, None)[0] == pytest.approx(0.30)
    # Only the first image counts: one bin with a gap of 0.15.
    assert weighted_ece(positive, p, np.array([[1.0, 0, 0, 0]]))[0] == pytest.approx(0.15)


@pytest.mark.parametrize(("p", "number"), [(0.0, 0), (0.0999, 0), (0.1, 1), (0.95, 9), (1.0, 9)])
def test_bins_hold_their_lower_edge_and_the_last_one_holds_one(p, number):
    assert bins_of(np.array([p]))[0] == number


def test_sigmoid_of_large_values_neither_overflows_nor_warns():
    with np.errstate(all="raise", under="ignore"):
        np.testing.assert_allclose(sigmoid(np.array([-1000.0, 0.0, 1000.0])), [0.0, 0.5, 1.0])


def test_the_temperature_recovers_a_known_one_and_moves_no_image_across_a_half():
    rng = np.random.default_rng(4)
    true_logit = rng.normal(0, 2, 40_000)
    positive = rng.random(40_000) < sigmoid(true_logit)
    found = fit_temperature(positive, true_logit * 2.5)
    assert 1 / found.a == pytest.approx(2.5, abs=0.06)
    assert (found.b, found.note, found.method) == (0.0, "", "Temperature scaling")
    np.testing.assert_array_equal(found.probabilities(true_logit) >= 0.5, true_logit >= 0)


def test_a_temperature_cannot_take_an_offset_away_and_platt_can():
    """What class weights do to a rare finding: its logits lie too high by the same amount everywhere."""
    rng = np.random.default_rng(5)
    true_logit = rng.normal(-3, 1, 20_000)
    positive = rng.random(20_000) < sigmoid(true_logit)
    errors = {
        method: weighted_ece(
            positive, fit_calibration(positive, true_logit + 3, method).probabilities(true_logit + 3), None
        )[0]
        for method in ("platt", "temperature")
    }
    assert errors["platt"] < 0.01
    assert errors["temperature"] > 0.2


@pytest.mark.parametrize(
    ("logit", "is_flat"),
    [
        (np.array([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0]), False),  # separable: finite all the same
        (np.array([3.0, 2.0, 1.0, -1.0, -2.0, -3.0]), True),  # the wrong way round
        (np.zeros(6), True),  # says the same of every image
    ],
)
def test_a_temperature_is_positive_and_finite(logit, is_flat):
    found = fit_temperature(np.array([False, False, False, True, True, True]), logit)
    assert 0 < found.a < np.inf
    assert ("not above 0" in found.note) == is_flat

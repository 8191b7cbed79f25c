from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from cxr_tasks.contracts.errors import UndefinedMetric
from cxr_tasks.statistics.scores import auroc, precision_recall_points, roc_points, weighted_auroc
from tests.evaluate.formulas import weighted_average_precision, weighted_f1, weighted_specificity_at

TARGETS = np.array([0, 0, 1, 1, 0, 1], bool)


@st.composite
def labelled_scores(draw):
    """Scores on a coarse grid, so that ties are common, with both classes present."""
    n = draw(st.integers(2, 40))
    score = np.array(draw(st.lists(st.integers(-5, 5), min_size=n, max_size=n)), float)
    positive = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    positive[0], positive[1] = True, False
    return positive, score


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        ([0.1, 0.2, 0.8, 0.9, 0.3, 0.7], 1.0),  # every positive above every negative
        ([0.9, 0.8, 0.2, 0.1, 0.7, 0.3], 0.0),  # turned round
        ([0.5, 0.5, 0.5, 0.5, 0.5, 0.5], 0.5),  # all tied
        ([0.1, 0.4, 0.35, 0.8, 0.0, 0.35], 7 / 9),  # two of nine pairs the wrong way
    ],
)
def test_auroc_of_known_orders(score, expected):
    assert auroc(TARGETS, np.array(score)) == pytest.approx(expected)


@given(labelled_scores())
@settings(max_examples=80, deadline=None)
def test_auroc_and_average_precision_equal_scikit_learn(case):
    positive, score = case
    assert auroc(positive, score) == pytest.approx(roc_auc_score(positive, score), abs=1e-12)
    ours = weighted_average_precision(positive, score, None)[0]
    assert ours == pytest.approx(average_precision_score(positive, score), abs=1e-12)


@given(labelled_scores(), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_auroc_is_the_same_in_any_order_and_on_any_increasing_scale(case, seed):
    positive, score = case
    order = np.random.default_rng(seed).permutation(len(score))
    value = auroc(positive, score)
    assert auroc(positive[order], score[order]) == pytest.approx(value, abs=1e-12)
    assert auroc(positive, np.exp(score) * 3 + 1) == pytest.approx(value, abs=1e-12)
    assert auroc(positive, -score) == pytest.approx(1 - value, abs=1e-12)


@given(labelled_scores(), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_a_weight_of_two_is_the_image_twice(case, seed):
    positive, score = case
    weights = np.random.default_rng(seed).integers(1, 4, len(score))
    repeated = np.repeat(positive, weights), np.repeat(score, weights)
    row = weights[None].astype(float)
    assert weighted_auroc(positive, score, row)[0] == pytest.approx(auroc(*repeated), abs=1e-12)
    precision = weighted_average_precision(positive, score, row)[0]
    assert precision == pytest.approx(average_precision_score(*repeated), abs=1e-12)
    called = score > 0
    assert weighted_f1(positive, called, row)[0] == pytest.approx(
        f1_score(repeated[0], np.repeat(called, weights), zero_division=0.0), abs=1e-12
    )


def test_a_resample_without_positives_has_no_value():
    weights = np.array([[1.0, 1, 0, 0, 1, 0], [1, 1, 1, 1, 1, 1]])
    score = np.arange(6.0)
    for values in (
        weighted_auroc(TARGETS, score, weights),
        weighted_average_precision(TARGETS, score, weights),
        weighted_specificity_at(TARGETS, score, weights, sensitivity=0.95),
    ):
        assert np.isnan(values[0])
        assert np.isfinite(values[1])


@pytest.mark.parametrize(
    ("sensitivity", "expected"),
    [
        (1.0, 1 / 3),  # the lowest positive, 0.2, stands above one negative of three
        (0.66, 2 / 3),  # two of three positives are found from 0.7 on
        (0.3, 1.0),  # the highest image is positive
    ],
)
def test_specificity_at_a_sensitivity(sensitivity, expected):
    score = np.array([0.1, 0.5, 0.2, 0.7, 0.8, 0.9])
    assert weighted_specificity_at(TARGETS, score, None, sensitivity=sensitivity)[0] == pytest.approx(expected)


@given(labelled_scores())
@settings(max_examples=40, deadline=None)
def test_the_area_under_the_roc_points_is_the_auroc(case):
    positive, score = case
    false_rate, sensitivity = roc_points(positive, score)
    assert np.trapezoid(sensitivity, false_rate) == pytest.approx(auroc(positive, score), abs=1e-12)
    recall, precision = precision_recall_points(positive, score)
    assert recall[-1] == 1.0
    assert precision[-1] == pytest.approx(positive.mean())


@pytest.mark.parametrize(
    ("positive", "score", "error", "said"),
    [
        ([True, True], [0.1, 0.2], UndefinedMetric, "found 2 positives among 2"),
        ([False, False], [0.1, 0.2], UndefinedMetric, "found 0 positives"),
        ([True, False], [0.1, np.nan], ValueError, "NaN in 1 of 2"),
        ([True, False, True], [0.1, 0.2], ValueError, r"\(3,\) and \(2,\)"),
    ],
)
def test_what_has_no_auroc_is_refused(positive, score, error, said):
    with pytest.raises(error, match=said):
        auroc(np.array(positive), np.array(score))

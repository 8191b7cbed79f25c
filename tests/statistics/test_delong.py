from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata

from cxr_tasks.statistics.delong import delong, influences, midranks


def brute_force(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUROCs and covariance by the definition of DeLong et al. (1988): all pairs, no ranks."""
    of_positives, of_negatives = [], []
    for score in scores:
        x, y = score[positive][:, None], score[~positive][None, :]
        kernel = (x > y) + 0.5 * (x == y)
        of_positives.append(kernel.mean(axis=1))
        of_negatives.append(kernel.mean(axis=0))
    v10, v01 = np.array(of_positives), np.array(of_negatives)
    areas = v10.mean(axis=1)
    m, n = v10.shape[1], v01.shape[1]
    d10, d01 = v10 - areas[:, None], v01 - areas[:, None]
    return areas, d10 @ d10.T / (m - 1) / m + d01 @ d01.T / (n - 1) / n


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("decimals", [0, 1, 8])  # 0 decimals: nearly all tied; 8: none
def test_equals_the_definition(seed, decimals):
    rng = np.random.default_rng(seed)
    positive = rng.random(70) < 0.4
    scores = np.round(rng.normal(size=(3, 70)) + positive * np.array([[0.5], [1.0], [2.0]]), decimals)
    areas, covariance = delong(positive, scores)
    expected_areas, expected = brute_force(positive, scores)
    np.testing.assert_allclose(areas, expected_areas, rtol=0, atol=1e-10)
    np.testing.assert_allclose(covariance, expected, rtol=0, atol=1e-10)


def test_midranks_are_those_of_scipy():
    values = np.random.default_rng(0).integers(0, 9, 100).astype(float)
    np.testing.assert_array_equal(midranks(values), rankdata(values))


def test_the_order_of_images_and_the_scale_of_scores_change_nothing():
    rng = np.random.default_rng(1)
    positive, scores = rng.random(50) < 0.5, rng.normal(size=(2, 50))
    order = rng.permutation(50)
    value, covariance = delong(positive, scores)
    again, of_again = delong(positive[order], np.exp(scores[:, order]))
    np.testing.assert_allclose(again, value, rtol=0, atol=1e-12)
    np.testing.assert_allclose(of_again, covariance, rtol=0, atol=1e-12)


def test_one_positive_has_no_variance():
    with pytest.raises(ValueError, match="found 1 positives and 3 negatives"):
        delong(np.array([True, False, False, False]), np.arange(4.0))


@pytest.mark.parametrize("decimals", [0, 8])  # nearly all tied; none
def test_fourteen_findings_on_the_same_images_equal_the_definition(decimals):
    """As evaluation takes them: each finding with its own labels, AUROC and variance to 1e-10."""
    rng = np.random.default_rng(14)
    for prevalence in np.linspace(0.01, 0.4, 14):
        positive = rng.random(900) < prevalence
        score = np.round(rng.normal(size=900) + positive, decimals)
        value, covariance = delong(positive, score)
        expected_value, expected = brute_force(positive, score[None])
        assert value[0] == pytest.approx(expected_value[0], rel=0, abs=1e-10)
        assert covariance[0, 0] == pytest.approx(expected[0, 0], rel=0, abs=1e-10)


def test_contributions_of_images_square_to_the_variance_and_multiply_to_the_covariance():
    rng = np.random.default_rng(2)
    positive = rng.random(120) < 0.3
    scores = np.round(rng.normal(size=(2, 120)) + positive, 1)
    values, covariance = delong(positive, scores)
    (first, of_first), (second, of_second) = (influences(positive, one) for one in scores)
    np.testing.assert_allclose([first, second], values, rtol=0, atol=1e-12)
    assert of_first @ of_first == pytest.approx(covariance[0, 0], rel=0, abs=1e-12)
    assert of_first @ of_second == pytest.approx(covariance[0, 1], rel=0, abs=1e-12)
    assert of_first.sum() == pytest.approx(0.0, abs=1e-10)
    with pytest.raises(ValueError, match="found 1 positives"):
        influences(np.array([True, False, False]), np.arange(3.0))

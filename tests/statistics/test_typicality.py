from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cxr_tasks.contracts.errors import ConfigurationError, UndefinedMetric
from cxr_tasks.contracts.serving_contract import UNUSUAL_BELOW
from cxr_tasks.statistics.typicality import Shape, fit, typicality


def features(n: int, seed: int, n_features: int = 200) -> np.ndarray:
    """Few directions with much variance, little in all others."""
    rng = np.random.default_rng(seed)
    spread = np.concatenate([[5.0, 3.0, 2.0], np.full(n_features - 3, 0.1)])
    return (rng.normal(size=(n, n_features)) * spread + 4.0).astype(np.float32)


@pytest.fixture(scope="module")
def fitted():
    return fit(features(400, 0), features(300, 1))


def of(fitted, found):
    return typicality(Shape.of(fitted).log_distances(found), fitted)


def test_one_of_a_hundred_is_unusual_and_the_rest_is_a_share(fitted):
    found = of(fitted, features(20_000, 2))
    assert (found < UNUSUAL_BELOW).mean() == pytest.approx(UNUSUAL_BELOW, abs=0.01)
    np.testing.assert_allclose(np.quantile(found, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.06)


def test_the_fraction_of_validation_that_is_unusual_is_what_was_asked(fitted):
    assert (of(fitted, features(300, 1)) < UNUSUAL_BELOW).mean() == pytest.approx(UNUSUAL_BELOW, abs=0.004)


def test_the_distance_is_the_one_of_a_full_covariance_where_all_directions_are_kept():
    training = features(400, 0, n_features=5)
    found = Shape.of(fit(training, features(100, 1, n_features=5))).log_distances(features(9, 3, n_features=5))
    away = features(9, 3, n_features=5) - training.mean(0)
    inverse = np.linalg.inv(np.cov(training.astype(np.float64), rowvar=False))
    np.testing.assert_allclose(np.exp(2 * found), np.einsum("ni,ij,nj->n", away, inverse, away), rtol=1e-4)


def test_a_move_in_a_direction_that_never_varies_counts_more_than_one_that_does(fitted):
    usual = features(1, 5)
    for size in (0.5, 1.0, 1.5):
        moved = {place: usual.copy() for place in (0, 150)}
        for place, one in moved.items():
            one[0, place] += size
        along, across = (of(fitted, one)[0] for one in moved.values())
        assert 0.0 < across < along < 1.0


def test_it_falls_with_the_distance_without_steps_and_stays_within_its_bounds(fitted):
    far = np.linspace(-20.0, 60.0, 5000)
    found = typicality(far, fitted)
    assert (np.diff(found) <= 0).all()
    # 80 parts of e-folds in 5000 steps: a jump would be larger than what the steepest part falls by.
    assert np.abs(np.diff(found)).max() < 0.25
    assert found.min() > 0.0
    assert found.max() < 1.0


def test_features_of_zeros_and_few_images_are_told():
    with pytest.raises(UndefinedMetric, match="needs 40 training images, 39 are there"):
        fit(features(39, 0), features(100, 1))
    with pytest.raises(UndefinedMetric, match="needs 30 validation images"):
        fit(features(50, 0), features(29, 1))
    with pytest.raises(UndefinedMetric, match="are the same"):
        fit(np.ones((50, 8), np.float32), np.ones((50, 8), np.float32))
    broken = features(50, 1)
    broken[3, 3] = np.nan
    with pytest.raises(UndefinedMetric, match="validation images are not all finite"):
        fit(features(50, 0), broken)


def test_features_that_never_vary_do_not_make_all_images_unusual():
    training, validation = features(100, 0), features(100, 1)
    training[:, 50:] = validation[:, 50:] = 0.0
    fitted = fit(training, validation)
    assert (of(fitted, validation) < UNUSUAL_BELOW).mean() < 0.03


def test_a_record_that_makes_no_sense_is_refused(fitted):
    with pytest.raises(ConfigurationError, match="rising numbers"):
        dataclasses.replace(fitted, usual=(1.0, 0.5))
    with pytest.raises(ConfigurationError, match="tail_power: expected more than 0"):
        dataclasses.replace(fitted, tail_power=0.0)

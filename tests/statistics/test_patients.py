from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm, t

from cxr_tasks.statistics.patients import (
    effective_number,
    images_each,
    left_by_clusters,
    patient_numbers,
    quantile_of,
    tail_of,
)


@pytest.mark.parametrize("keys", [["b", "a", "b"], [7, -3, 7]])
def test_patients_are_numbered_from_zero(keys):
    assert patient_numbers(np.array(keys)).tolist() == [0, 1, 0]


def test_images_are_counted_by_patient():
    patient, is_counted = np.array([0, 1, 0, 2]), np.array([True, True, True, False])
    assert images_each(patient).tolist() == [2, 1, 1]
    assert images_each(patient, is_counted).tolist() == [2, 1, 0]


@pytest.mark.parametrize(
    ("each", "number"),
    [
        ([1, 1, 1, 1], 4.0),  # one each: all count
        ([5, 5, 0], 2.0),  # as many each: the patients
        ([9, 1], 100 / 82),  # one patient makes nearly all
        ([0, 0], 0.0),
    ],
)
def test_effective_number(each, number):
    assert effective_number(np.array(each, float)) == pytest.approx(number)


def test_independent_images_lose_no_freedom():
    assert math.isinf(left_by_clusters(200.0, 200))
    assert left_by_clusters(20.0, 10**9) == pytest.approx(19.0)
    assert left_by_clusters(1.0, 50) == pytest.approx(1 / (1 - 1 / 49))


def test_quantiles_and_tails_are_the_known_ones():
    assert quantile_of(0.95) == pytest.approx(norm.ppf(0.975))
    assert quantile_of(0.99, 7.5) == pytest.approx(t.ppf(0.995, 7.5))
    assert tail_of(-1.3) == pytest.approx(norm.cdf(-1.3))
    assert tail_of(-1.3, 4.2) == pytest.approx(t.cdf(-1.3, 4.2))

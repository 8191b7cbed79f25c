"""Calibration measures against their definitions, a shift of prevalence, and coverage under clustering."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import norm

from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.calibration_measures import (
    NAMES,
    calibration_records,
    expected_to_observed,
    intercept,
    slope,
)
from cxr_tasks.evaluate.table import Scored
from cxr_tasks.statistics.calibration import Platt, sigmoid
from cxr_tasks.statistics.patients import patient_numbers
from tests.evaluate.clusters import IMAGES, SHARE_OF_PATIENTS

SPEC = EvaluateSpec()
SAME = Platt(1.0, 0.0)


def made(seed, *, n=4000, prevalence=0.1, d=1.5, split="test", patients=None, add=0.0, times=1.0):
    """Images whose logits are right for a prevalence of 0.1, unless ``add`` and ``times`` spoil them."""
    rng = np.random.default_rng(seed)
    positive = np.arange(n) < round(n * prevalence)
    score = rng.normal(size=n) + d * positive
    logit = d * score - d * d / 2 + math.log(0.1 / 0.9)
    key = np.arange(n) if patients is None else rng.integers(0, patients, n)
    return Scored("mass", split, positive, times * logit + add, key.astype(str), np.arange(n).astype(str), 0)


def measured(test, validation=None, platt=SAME):
    validation = made(1, split="validation") if validation is None else validation
    found = calibration_records(test, platt, SPEC, validation)
    assert tuple(one.name for one in found) == NAMES
    return {one.name: one for one in found}


def holds(record, value):
    return record.lower <= value <= record.upper


def test_intercept_and_slope_are_those_of_a_logistic_regression():
    rows = made(2)
    y, z = rows.is_positive.astype(float), rows.logit

    def loss(at):
        total = at[0] + at[1] * z
        return float((np.logaddexp(0.0, total) - y * total).sum())

    by_hand = minimize(loss, [0.0, 1.0]).x
    assert slope(y, z, np.arange(len(y)))[0] == pytest.approx(by_hand[1], abs=0.01)  # Firth's penalty is small here
    alone = minimize(lambda at: loss([at[0], 1.0]), [0.0]).x
    assert intercept(y, z).value == pytest.approx(alone[0], abs=1e-4)
    ratio = math.exp(expected_to_observed(y, sigmoid(z)).value)
    assert ratio == pytest.approx(sigmoid(z).sum() / y.sum())


def test_right_probabilities_have_the_reference_values_in_their_intervals():
    found = measured(made(3))
    assert holds(found["calibration_intercept"], 0.0)
    assert holds(found["calibration_slope"], 1.0)
    assert holds(found["expected_observed"], 1.0)
    assert holds(found["prevalence_shift"], 0.0)
    assert found["calibration_beyond_shift"].upper - found["calibration_beyond_shift"].lower < 0.5


@pytest.mark.parametrize("prevalence", [0.02, 0.35, 0.6])
def test_another_prevalence_is_named_and_is_no_fault(prevalence):
    """The same ill and the same healthy in another proportion, as CheXpert's valid.csv by design."""
    found = measured(made(4, prevalence=prevalence))
    expected = math.log(prevalence / (1 - prevalence)) - math.log(0.1 / 0.9)
    assert holds(found["prevalence_shift"], expected)
    assert holds(found["calibration_intercept"], expected)
    assert not holds(found["calibration_intercept"], 0.0)
    assert found["calibration_beyond_shift"].value == pytest.approx(0.0, abs=0.2)
    assert holds(found["calibration_beyond_shift"], 0.0)
    assert holds(found["calibration_slope"], 1.0)


def test_more_images_that_look_ill_are_no_fault_either():
    """P(y|x) is the same and more images look ill: the intercept is 0 although the prevalence has moved."""
    rng = np.random.default_rng(5)
    logit = rng.normal(-0.5, 1.5, 6000)
    positive = rng.random(6000) < sigmoid(logit)
    key = np.arange(6000).astype(str)
    found = measured(Scored("mass", "test", positive, logit, key, key, 0))
    assert found["prevalence_shift"].lower > 1.0
    assert holds(found["calibration_intercept"], 0.0)
    assert holds(found["calibration_beyond_shift"], 0.0)


@pytest.mark.parametrize(("by", "side"), [(5.0, "upper"), (0.2, "lower")])
@pytest.mark.parametrize("prevalence", [0.02, 0.1, 0.3])
def test_odds_five_times_off_are_shown_whatever_the_prevalence(by, side, prevalence):
    """Ten equal bins saw nothing of it at a prevalence of 2 % (an error of 0.02), whatever the model."""
    found = measured(made(6, prevalence=prevalence, add=math.log(by)))
    one = found["calibration_beyond_shift"]
    hidden = abs(found["prevalence_shift"].value) if (by > 1.0) == (prevalence > 0.1) else 0.0
    assert abs(one.value) > math.log(5.0) - hidden - 0.3
    if hidden < 1.0:
        assert (one.upper if side == "upper" else one.lower) * (1 if side == "upper" else -1) < -0.3 or hidden > 0.5


def test_a_slope_of_a_model_too_sure_of_itself():
    assert measured(made(7, times=4.0))["calibration_slope"].upper < 0.5
    assert measured(made(7, times=0.4))["calibration_slope"].lower > 1.5


def test_a_model_without_an_error_has_a_finite_slope():
    positive = np.r_[np.ones(30, bool), np.zeros(170, bool)]
    logit = np.where(positive, 6.0, -6.0) + np.linspace(-1, 1, 200)
    key = np.arange(200).astype(str)
    one = measured(Scored("mass", "test", positive, logit, key, key, 0))["calibration_slope"]
    assert math.isfinite(one.value)
    assert one.lower < 1.0 < one.upper


def test_a_constant_zero_is_shown_to_be_wrong():
    """It had a calibration error below any ceiling where the finding is rare."""
    rows = made(8, prevalence=0.03)
    found = measured(
        Scored("mass", "test", rows.is_positive, np.full(rows.n, -30.0), rows.patient_key, rows.image_id, 0)
    )
    assert found["calibration_beyond_shift"].lower > 3.0
    assert found["expected_observed"].upper < 0.01


def test_where_nothing_is_known_of_the_prevalence_it_is_said():
    records = {one.name: one for one in calibration_records(made(9), SAME, SPEC, None)}
    assert "prevalence that it was fitted at is not known" in records["prevalence_shift"].reason
    assert records["calibration_slope"].value is not None
    none = {one.name: one for one in calibration_records(made(9), None, SPEC, None)}
    assert all("no calibration" in one.reason for one in none.values())


def clustered(seed, *, n_patients=300, per_patient=8, alike=0.6):
    """Right probabilities of patients with several images each, whose scores and labels go together."""
    rng = np.random.default_rng(seed)
    key = np.repeat(np.arange(n_patients), rng.geometric(1 / per_patient, n_patients))
    score, luck = (
        math.sqrt(alike) * rng.normal(size=n_patients)[key] + math.sqrt(1 - alike) * rng.normal(size=len(key))
        for _ in range(2)
    )
    logit = -2.0 + 1.2 * score
    text = key.astype(str)
    return Scored("mass", "test", norm.cdf(luck) < sigmoid(logit), logit, text, np.arange(len(key)).astype(str), 0)


def test_intervals_cover_with_many_images_of_a_patient():
    """Taken as independent they would cover 60 to 80 %."""
    rows = [clustered(seed) for seed in range(200)]
    found = [{one.name: one for one in calibration_records(one, SAME, SPEC, None)} for one in rows]
    right = {"calibration_intercept": 0.0, "calibration_slope": 1.0, "expected_observed": 1.0}
    covered = {name: np.mean([holds(one[name], value) for one in found]) for name, value in right.items()}
    assert all(0.90 <= share <= 0.985 for share in covered.values()), covered
    alone = [
        {one.name: one for one in calibration_records(_each_alone(one), SAME, SPEC, None)}["calibration_intercept"]
        for one in rows
    ]
    assert np.mean([holds(one, 0.0) for one in alone]) < 0.85


@pytest.mark.parametrize(("n_patients", "alike"), [(100, 0.3), (100, 0.6), (300, 0.6)])
def test_intervals_cover_with_few_patients_of_whom_some_have_many_images(n_patients, alike):
    """With NIH's numbers of images a patient; they covered 0.90 to 0.93 where no patient's weight was looked at."""
    rows = [nih_sized(seed, n_patients=n_patients, alike=alike) for seed in range(600)]
    measured_ = [(intercept(one.is_positive.astype(float), one.logit), one) for one in rows]
    measured_ += [(expected_to_observed(one.is_positive.astype(float), sigmoid(one.logit)), one) for one in rows]
    covered = [abs(found.value) <= found.reach(patient_numbers(one.patient_key), 0.95) for found, one in measured_]
    assert all(0.925 <= np.mean(part) <= 0.98 for part in (covered[:600], covered[600:]))


def nih_sized(seed, *, n_patients, alike):
    """As :func:`clustered`."""
    rng = np.random.default_rng([seed, n_patients])
    key = np.repeat(np.arange(n_patients), rng.choice(IMAGES, n_patients, p=SHARE_OF_PATIENTS))
    score, luck = (
        math.sqrt(alike) * rng.normal(size=n_patients)[key] + math.sqrt(1 - alike) * rng.normal(size=len(key))
        for _ in range(2)
    )
    logit = -2.0 + 1.2 * score
    return Scored("mass", "test", norm.cdf(luck) < sigmoid(logit), logit, key.astype(str), np.arange(len(key)), 0)


def _each_alone(rows):
    return Scored(rows.finding, rows.split, rows.is_positive, rows.logit, rows.image_id, rows.image_id, 0)

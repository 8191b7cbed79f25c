from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_tasks.contracts.errors import UndefinedMetric
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.operating_points import (
    at_raw_half,
    choose_thresholds,
    measure,
    ppv_threshold,
)
from cxr_tasks.evaluate.table import Scored
from cxr_tasks.statistics.calibration import sigmoid

POSITIVE = np.array([False, False, False, True, False, True, True, True])
LOGIT = np.array([-3.0, -2.0, -1.0, -0.5, 0.5, 1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("name", "between"),
    [
        ("youden", (-1.0, -0.5)),  # 1 + 3/4 - 1 = 0.75; from 1.0 on: 3/4 + 1 - 1 = 0.75 too, and the lower one wins
        ("best_f1", (-1.0, -0.5)),  # 2*4 / (4 + 5) = 0.89 against 2*3 / (4 + 3) = 0.86
        ("target_sensitivity", (-1.0, -0.5)),  # 0.95 of four positives is all four
    ],
)
def test_thresholds_lie_half_way_between_two_images(name, between):
    threshold = choose_thresholds(POSITIVE, LOGIT, 0.95)[name]
    assert threshold == pytest.approx(float(sigmoid(np.array(sum(between) / 2))))


def test_a_lower_target_takes_a_higher_threshold():
    strict, lax = (choose_thresholds(POSITIVE, LOGIT, target)["target_sensitivity"] for target in (0.95, 0.75))
    assert lax > strict
    assert lax == pytest.approx(float(sigmoid(np.array(0.75))))


@st.composite
def validation_splits(draw):
    n = draw(st.integers(4, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    positive = np.r_[True, False, rng.random(n) < 0.5]
    return positive, np.round(rng.normal(size=n + 2) * draw(st.sampled_from([0.5, 5, 60])) + positive, 1)


@given(validation_splits(), st.sampled_from([0.5, 0.8, 0.95]))
@settings(max_examples=120, deadline=None)
def test_the_target_sensitivity_is_reached_and_the_threshold_is_a_probability(case, target):
    positive, logit = case
    logit = np.clip(logit, -60, 13)  # what a float32 probability can tell from 0 and 1
    chosen = choose_thresholds(positive, logit, target)
    assert set(chosen) == {"youden", "best_f1", "target_sensitivity"}
    for threshold in chosen.values():
        assert 0.0 < threshold < 1.0
        assert 0.0 < np.float32(threshold) < 1.0
    called = sigmoid(logit) >= chosen["target_sensitivity"]
    assert called[positive].mean() >= target - 1e-9


@given(validation_splits())
@settings(max_examples=80, deadline=None)
def test_no_threshold_has_a_better_youden_index_or_f1(case):
    positive, logit = case
    logit = np.clip(logit, -10, 10)  # within the range that a probability can resolve
    chosen = choose_thresholds(positive, logit, 0.95)

    def youden(called):
        return called[positive].mean() - called[~positive].mean()

    def f1(called):
        return 2 * (called & positive).sum() / (called.sum() + positive.sum())

    for name, value in (("youden", youden), ("best_f1", f1)):
        best = max(value(logit >= level) for level in np.unique(logit))
        assert value(sigmoid(logit) >= chosen[name]) == pytest.approx(best, abs=1e-12)


@given(validation_splits())
@settings(max_examples=60, deadline=None)
def test_calls_in_float32_are_the_calls_in_float64(case):
    """The model server computes in float32; a threshold between two images leaves it room."""
    positive, logit = case
    logit = np.clip(logit, -10, 10)
    for threshold in choose_thresholds(positive, logit, 0.95).values():
        single = 1 / (1 + np.exp(-logit.astype(np.float32)))
        assert ((single >= np.float32(threshold)) == (sigmoid(logit) >= threshold)).all()


def test_a_threshold_below_all_images_calls_them_all():
    chosen = choose_thresholds(np.array([True, False, False]), np.array([-1.0, 0.0, 1.0]), 0.95)
    assert chosen["target_sensitivity"] < sigmoid(np.array(-1.0))


def test_one_class_has_no_threshold():
    with pytest.raises(UndefinedMetric):
        choose_thresholds(np.ones(5, bool), np.arange(5.0), 0.95)


def rows(positive: np.ndarray) -> Scored:
    n = len(positive)
    return Scored(
        finding="pneumonia",
        split="test",
        is_positive=positive,
        logit=np.zeros(n),
        patient_key=np.arange(n).astype(str),
        image_id=np.arange(n).astype(str),
        n_unknown=0,
    )


def test_measures_by_hand():
    positive = np.repeat([True, False], [10, 20])
    called = np.r_[np.ones(8, bool), np.zeros(2, bool), np.ones(5, bool), np.zeros(15, bool)]
    found = measure(rows(positive), called, EvaluateSpec(bootstrap_samples=200))
    counts = (found.true_positives, found.false_positives, found.false_negatives, found.true_negatives)
    assert counts == (8, 5, 2, 15)
    values = {one.name: one.value for one in found.metrics}
    assert values == pytest.approx(
        {
            "sensitivity": 0.8,
            "specificity": 0.75,
            "ppv": 8 / 13,
            "npv": 15 / 17,
            "accuracy": 23 / 30,
            "alarm_rate": 13 / 30,
            "f1": 16 / 23,
        }
    )
    assert (found.n, found.n_positive, found.false_negatives) == (30, 10, 2)
    for one in found.metrics:
        assert one.lower < one.value < one.upper
    assert found.metrics[0].method == "Wilson 95 %, 8 of 10 positive images"


def test_ppv_of_no_call_is_a_reason_not_a_number():
    found = measure(rows(np.repeat([True, False], 10)), np.zeros(20, bool), EvaluateSpec(bootstrap_samples=200))
    by_name = {one.name: one for one in found.metrics}
    assert by_name["ppv"].value is None
    assert by_name["ppv"].reason == "there are no images called positive"
    assert by_name["sensitivity"].value == 0.0
    assert by_name["f1"].value == 0.0


#: From the highest logit down: positive, negative, positive, positive, negative, negative, positive, negative.
LADDER = np.array([True, False, True, True, False, False, True, False])
HEIGHT = np.arange(8, 0, -1.0)


@pytest.mark.parametrize(
    ("target", "min_found", "between"),
    [
        (0.75, 2, (5.0, 4.0)),  # 3 of 4
        (0.5, 2, (1.0, 0.0)),  # 4 of 8: the lowest threshold that keeps it, with the highest sensitivity
        (0.6, 2, (4.0, 3.0)),  # 3 of 5; 4 of 7 is 0.57
        (1.0, 1, (8.0, 7.0)),  # one of one, where one is enough
    ],
)
def test_the_ppv_target_takes_the_lowest_threshold_that_keeps_it(target, min_found, between):
    threshold, reason = ppv_threshold(LADDER, HEIGHT, target, min_found)
    assert reason == ""
    assert threshold == pytest.approx(float(sigmoid(np.array(sum(between) / 2))), abs=1e-6)


@pytest.mark.parametrize(
    ("target", "min_found", "said"),
    [
        (
            0.9,
            2,
            "no threshold reaches a PPV of 0.9 on validation; the highest is 0.75 (3 of 4 called, at least 2 found)",
        ),
        (0.1, 5, "validation holds 4 positives, 5 found are asked for"),
    ],
)
def test_a_ppv_that_validation_does_not_reach_has_a_reason(target, min_found, said):
    assert ppv_threshold(LADDER, HEIGHT, target, min_found) == (None, said)


def test_recall_at_a_raw_half_counts_logits_from_zero_on():
    one = Scored(
        finding="hernia", split="test", is_positive=np.array([True, True, True, False, False]),
        logit=np.array([0.0, -0.1, -5.0, 1.0, -1.0]), patient_key=np.arange(5).astype(str),
        image_id=np.arange(5).astype(str), n_unknown=0,
    )  # fmt: skip
    found = {record.name: record.value for record in at_raw_half(one, EvaluateSpec())}
    assert found == pytest.approx({"sensitivity_at_raw_half": 1 / 3, "specificity_at_raw_half": 0.5})

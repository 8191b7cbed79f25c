from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_tasks.contracts.errors import UndefinedMetric
from cxr_tasks.contracts.metrics import record_of
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.assess import assess
from cxr_tasks.evaluate.decision import choose_decision
from cxr_tasks.evaluate.flat_metrics import readable
from cxr_tasks.evaluate.table import Scored

POINTS = ("youden", "best_f1", "target_sensitivity")


def make_rows(positive: np.ndarray, logit: np.ndarray) -> Scored:
    names = np.arange(len(positive)).astype(str)
    return Scored("mass", "validation", positive, logit, names, names, n_unknown=0)


def few_on_top(n_top: int = 5, n_positive: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Some positives above all, the others below nearly all 200 negatives: F1 and Youden are best with those few."""
    positive = np.repeat([True, False], [n_positive, 200])
    logit = np.r_[np.linspace(5, 6, n_top), np.linspace(-6, -5, n_positive - n_top), np.linspace(-4, 4, 200)]
    return positive, logit


@st.composite
def validation_splits(draw):
    """Any logits that a float32 network gives, tied or not, whatever they have to do with the labels."""
    n_positive, n_negative = draw(st.integers(5, 25)), draw(st.integers(5, 60))
    n = n_positive + n_negative
    scale = draw(st.sampled_from([1e-6, 1.0, 8.0, 1e4]))
    value = st.floats(-1, 1, width=32) | st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0])
    logit = np.array(draw(st.lists(value, min_size=n, max_size=n))) * scale
    return draw(st.permutations([True] * n_positive + [False] * n_negative)), logit


@pytest.mark.parametrize("calibration", ["platt", "temperature"])
@pytest.mark.parametrize("point", POINTS)
@given(case=validation_splits(), target=st.sampled_from([0.5, 0.9, 0.95]))
@settings(max_examples=40, deadline=None)
def test_a_served_decision_finds_half_of_validations_positives(point, calibration, case, target):
    positive, logit = np.array(case[0]), case[1]
    spec = EvaluateSpec(served_operating_point=point, target_sensitivity=target, calibration=calibration)
    decision = choose_decision(make_rows(positive, logit), spec)
    called = decision.platt.probabilities(logit) >= decision.thresholds[decision.served]
    assert called[positive].mean() >= 0.5
    assert (decision.served == point) == (decision.note == "") or point == "target_sensitivity"


@pytest.mark.parametrize("point", ["youden", "best_f1"])
def test_that_property_is_of_points_that_can_find_nearly_nothing(point):
    positive, logit = few_on_top()
    decision = choose_decision(make_rows(positive, logit), EvaluateSpec(served_operating_point=point))
    called = decision.platt.probabilities(logit) >= decision.thresholds[point]
    assert called[positive].sum() == 5
    assert decision.served == "target_sensitivity"
    assert decision.note == (
        f"{point} would find 5 of 30 positive validation images, less than 50 %: the threshold of sensitivity 0.95 "
        "serves instead"
    )


@pytest.mark.parametrize(("n_top", "served"), [(15, "best_f1"), (14, "target_sensitivity")])
def test_half_is_enough(n_top, served):
    spec = EvaluateSpec(served_operating_point="best_f1")
    assert choose_decision(make_rows(*few_on_top(n_top)), spec).served == served


def test_probabilities_that_no_threshold_can_tell_from_nought_are_no_decision():
    """One number cannot put right a few positives far below all others: float32 cannot hold a threshold there."""
    positive = np.repeat([True, False], [5, 20_000])
    logit = np.where(positive, -3000.0, -10.0)
    with pytest.raises(
        UndefinedMetric, match="no threshold from 1e-30 on finds 50 % of the positive validation images"
    ):
        choose_decision(make_rows(positive, logit), EvaluateSpec(calibration="temperature"))


def test_the_numbers_say_that_another_point_serves(make_predictions):
    table, (positive, logit) = make_predictions(n_validation=230), few_on_top()
    rows = table.index[table["split"] == "validation"]
    table.loc[rows, "target_pneumonia"], table.loc[rows, "logit_pneumonia"] = positive.astype(float), logit
    metrics = assess(table, ("pneumonia",), EvaluateSpec(bootstrap_samples=100, served_operating_point="best_f1"))
    found = metrics.by_finding["pneumonia"]
    assert found.served_note.startswith("best_f1 would find 5 of 30 positive validation images")
    assert metrics.serving["pneumonia"].operating_point == "target_sensitivity"
    assert record_of(metrics.served_point("pneumonia").validation.metrics, "sensitivity").value >= 0.95
    assert f"pneumonia: {found.served_note}" in readable(metrics).splitlines()

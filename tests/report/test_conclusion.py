from __future__ import annotations

import pytest

from cxr_tasks.contracts.evaluation.evaluation import Evaluation
from cxr_tasks.report.page.conclusion import can_do, cannot_do
from tests.evaluations import json_record


@pytest.fixture
def metrics(make_inputs):
    return make_inputs().evaluation.to_json()


def set_record(metrics, split, name, **changed):
    json_record(metrics["by_finding"]["pneumonia"]["metrics"][split], name).update(changed)


def test_counts_and_intervals_are_those_of_the_metrics(metrics):
    text = " ".join(can_do(Evaluation.from_json(metrics)))
    point = metrics["by_finding"]["pneumonia"]["operating_points"]["target_sensitivity"]["test"]
    positives = point["true_positives"] + point["false_negatives"]
    assert f"finds {point['true_positives']} of {positives} images" in text
    auroc = json_record(metrics["by_finding"]["pneumonia"]["metrics"]["test"], "auroc")
    assert f"AUROC {auroc['value']:.3f}, interval {auroc['lower']:.3f} to {auroc['upper']:.3f}, n = 200" in text


@pytest.mark.parametrize(
    ("upper_of_ridge", "said"),
    [(0.85, "clearly above"), (0.999, "not clearly above")],
)
def test_the_comparison_with_the_ridge_follows_the_intervals(metrics, upper_of_ridge, said):
    metrics["baselines"][0]["metrics"][1]["upper"] = upper_of_ridge
    sentence = next(one for one in can_do(Evaluation.from_json(metrics)) if "ridge" in one)
    assert f"That is {said} a ridge" in sentence


@pytest.mark.parametrize(
    ("validation", "test_upper", "is_said"),
    [
        (0.99, 0.97, True),  # validation lies above the whole test interval
        (0.95, 0.97, False),
    ],
)
def test_an_easier_validation_is_told(metrics, validation, test_upper, is_said):
    set_record(metrics, "validation", "auroc", value=validation)
    set_record(metrics, "test", "auroc", upper=test_upper)
    assert any("easier than test" in one for one in cannot_do(Evaluation.from_json(metrics), "kermany")) == is_said


@pytest.mark.parametrize(("beyond", "is_said"), [((-1.6, -1.9, -1.2), True), ((-0.4, -0.8, 0.0), False)])
def test_bad_calibration_is_told(metrics, beyond, is_said):
    value, lower, upper = beyond
    set_record(metrics, "test", "calibration_beyond_shift", value=value, lower=lower, upper=upper)
    set_record(metrics, "test", "calibration_slope", value=1.0, lower=0.8, upper=1.2)
    assert (
        any("read them as a ranking" in one for one in cannot_do(Evaluation.from_json(metrics), "kermany")) == is_said
    )


def test_what_could_not_be_assessed_claims_nothing(metrics):
    metrics["by_finding"]["pneumonia"].update(assessable=False, reason="test holds 3 positive images")
    assert can_do(Evaluation.from_json(metrics)) == ["Pneumonia could not be assessed: test holds 3 positive images."]


@pytest.mark.parametrize("source", ["kermany", "synthetic", "some_other"])
def test_every_source_hears_that_this_is_no_medical_device(metrics, source):
    text = " ".join(cannot_do(Evaluation.from_json(metrics), source))
    assert "not a medical device" in text
    assert "not a diagnosis" in text
    assert ("drawn by a program" in text) == (source == "synthetic")

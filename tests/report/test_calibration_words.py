"""What report and card say of probabilities, and that evaluations of format 2 still have their pages."""

from __future__ import annotations

import copy
import dataclasses

import pytest

from cxr_tasks.contracts.evaluation.evaluation import Evaluation
from cxr_tasks.contracts.metrics import OF_ONE_FINDING, MetricRecord
from cxr_tasks.report.calibration_words import calibration_sentences, is_off
from cxr_tasks.report.card.blocks import as_markdown
from cxr_tasks.report.card.card import card_of
from cxr_tasks.report.page.render import render_report

#: Records that came with format 3.
SINCE_3 = {*OF_ONE_FINDING, "brier_skill", "ece_relative"} - {"specificity_at_sensitivity"}


def one(value, lower, upper, **more):
    return MetricRecord(
        name="measure", finding="mass", split="test", value=value, lower=lower, upper=upper, n=300, **more
    )


def made(**changed):
    """Right probabilities at a prevalence of 0.1."""
    given = {
        "prevalence": one(0.1, 0.08, 0.12),
        "calibration_beyond_shift": one(0.0, -0.1, 0.1),
        "calibration_slope": one(1.0, 0.9, 1.1),
        "expected_observed": one(1.0, 0.9, 1.1),
        "prevalence_shift": one(0.0, -0.1, 0.1),
    }
    return {**given, **changed}


def test_right_probabilities_need_no_word():
    assert calibration_sentences("mass", made(), made()) == []
    assert not is_off(made())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"calibration_beyond_shift": one(-1.6, -1.8, -1.4)}, "too high, their odds by a factor of 5.0 beyond what"),
        ({"calibration_beyond_shift": one(1.6, 1.4, 1.8)}, "too low, their odds by a factor of 5.0"),
        ({"calibration_slope": one(0.3, 0.2, 0.4)}, "too extreme (calibration slope +0.30, interval +0.20 to +0.40"),
        ({"calibration_slope": one(3.0, 2.0, 4.0)}, "too timid"),
    ],
)
def test_wrong_probabilities_are_told_with_size_and_direction(changed, said):
    (sentence,) = calibration_sentences("mass", made(), made(**changed))
    assert said in sentence
    assert "read them as a ranking, not as a risk" in sentence
    assert is_off(made(**changed))


@pytest.mark.parametrize(
    ("intercept", "shift", "is_told"),
    [
        (one(1.2, 0.6, 1.8), one(0.0, -0.2, 0.2), True),
        (one(-1.2, -1.8, -0.6), one(0.0, -0.2, 0.2), True),
        (one(0.5, 0.2, 0.8), one(0.0, -0.2, 0.2), False),
        (one(1.2, 0.6, 1.8), one(1.2, 0.9, 1.5), False),  # as far as the prevalence moved
    ],
)
def test_what_few_validation_images_explain_is_told_and_is_no_fault(intercept, shift, is_told):
    test = made(
        calibration_beyond_shift=one(intercept.value, -2.5, 2.5), calibration_intercept=intercept,
        prevalence_shift=shift,
    )  # fmt: skip
    said = calibration_sentences("mass", made(prevalence=one(0.1, 0.08, 0.12, n_positive=12)), test)
    told = [text for text in said if "a calibration fitted on 12 positive validation images" in text]
    assert bool(told) == is_told
    assert not is_off(test)
    if is_told:
        assert f"too {'high' if intercept.value < 0 else 'low'} on test" in told[0]


def test_a_shift_of_prevalence_is_named_and_is_no_fault():
    moved = made(
        prevalence=one(0.33, 0.3, 0.36), prevalence_shift=one(1.3, 1.0, 1.6), expected_observed=one(0.45, 0.4, 0.5)
    )
    (sentence,) = calibration_sentences("mass", made(), moved)
    assert sentence.startswith("Prevalence shift: mass is on 33.0 % of the test images and was on 10.0 %")
    assert "no fault of the calibration" in sentence
    assert not is_off(moved)


def older(inputs):
    """The same evaluation as format 2 had it, and a decision by the rules of its time."""
    metrics, decision = inputs.evaluation.to_json(), copy.deepcopy(inputs.decision)
    metrics["format"] = 2
    for found in metrics["by_finding"].values():
        for split, records in found["metrics"].items():
            found["metrics"][split] = [one for one in records if one["name"] not in SINCE_3]
        for point in found["operating_points"].values():
            for split in ("validation", "test"):
                kept = [one for one in point[split]["metrics"] if one["name"] != "alarm_rate"]
                point[split]["metrics"] = kept
    for split, records in metrics["mean"].items():
        metrics["mean"][split] = [one for one in records if one["name"] not in SINCE_3]
    rule = {**decision["rules"][-1], "name": "ece_after", "finding": metrics["findings"][0], "outcome": "FAIL"}
    decision["rules"].append({**rule, "sentence": "Calibration error of mass on test is 0.2."})
    return dataclasses.replace(inputs, evaluation=Evaluation.from_json(metrics), decision=decision)


@pytest.mark.parametrize("findings", [("pneumonia",), ("atelectasis", "hernia", "mass")])
def test_an_evaluation_of_format_2_still_has_its_report_and_card(make_inputs, findings):
    inputs = older(make_inputs(findings=findings))
    page = render_report(inputs)
    assert "Calibration error of mass on test is 0.2." in page
    assert "only the calibration error was measured" in page
    card = as_markdown(card_of(inputs, policy="cxr_binary 1", environment={"processor": "Some CPU", "commit": "0123"}))
    assert "## Calibration" in card

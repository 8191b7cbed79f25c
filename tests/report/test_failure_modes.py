from __future__ import annotations

from cxr_tasks.contracts.evaluation.evaluation import Evaluation
from cxr_tasks.report.card.failure_modes import STANDING, failure_modes


def test_errors_of_the_served_decision_are_counted(make_inputs):
    metrics = make_inputs().evaluation.to_json()
    (point,) = [one for one in metrics["by_finding"]["pneumonia"]["operating_points"].values() if one["served"]]
    test = point["test"]
    found = failure_modes(Evaluation.from_json(metrics), "kermany")
    n_negative = test["n"] - test["n_positive"]
    assert found[0] == (
        f"The served decision missed {test['false_negatives']} of {test['n_positive']} test images with pneumonia, and "
        f"called {test['false_positives']} of {n_negative} without it."
    )
    assert tuple(found[-len(STANDING) :]) == STANDING
    assert any("children of one hospital" in one for one in found)


def test_a_low_ppv_is_named_with_its_interval(make_inputs):
    metrics = make_inputs().evaluation.to_json()
    (point,) = [one for one in metrics["by_finding"]["pneumonia"]["operating_points"].values() if one["served"]]
    assert not any("are wrong: PPV" in one for one in failure_modes(Evaluation.from_json(metrics), "kermany"))
    (ppv,) = [one for one in point["test"]["metrics"] if one["name"] == "ppv"]
    ppv |= {"value": 0.3, "lower": 0.25, "upper": 0.36}
    (sentence,) = [one for one in failure_modes(Evaluation.from_json(metrics), "kermany") if "are wrong: PPV" in one]
    assert sentence.startswith("Most positive calls of pneumonia are wrong: PPV 0.300 (0.250 to 0.360, n = ")


def test_the_worst_group_is_named_where_it_is_clear_and_else_the_lowest(make_inputs):
    metrics = make_inputs().evaluation.to_json()
    groups = metrics["by_finding"]["pneumonia"]["subgroups"]
    lowest = min((one for one in groups if not one["is_weak"]), key=lambda one: one["sensitivity"][0])
    for one in groups:
        one["sensitivity_gap"] = [0.0, -0.1, 0.1]
    (sentence,) = [one for one in failure_modes(Evaluation.from_json(metrics), "kermany") if "subgroup" in one]
    assert f"the lowest sensitivity was {lowest['sensitivity'][0]:.3f}" in sentence
    groups[0] |= {"sensitivity_gap": [-0.2, -0.3, -0.1], "is_gap_weak": False}
    (sentence,) = [
        one
        for one in failure_modes(Evaluation.from_json(metrics), "kermany")
        if "missed more often in the group" in one
    ]
    assert "-0.200 (-0.300 to -0.100) against the rest" in sentence


def test_a_finding_that_cannot_be_assessed_is_named(make_inputs):
    metrics = make_inputs(findings=("hernia", "mass"), rare="hernia").evaluation.to_json()
    assert any(
        "Too few positives, so no decision is claimed: hernia" in one
        for one in failure_modes(Evaluation.from_json(metrics), "nih")
    )
    one = make_inputs(rare="pneumonia").evaluation.to_json()
    assert any(
        text.startswith("Pneumonia could not be assessed: ")
        for text in failure_modes(Evaluation.from_json(one), "kermany")
    )

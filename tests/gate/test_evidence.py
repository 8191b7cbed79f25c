from __future__ import annotations

import dataclasses

import pytest

from cxr_tasks.contracts.gate_specs import AssessableSpec
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.assess import assess
from cxr_tasks.gate.evidence import Evidence, assessable_rules, evidence_rule, is_number
from tests.gate.builders import make_counts, make_evidence, make_finding, make_gate, make_scores

SPEC = EvaluateSpec(bootstrap_samples=100)


@pytest.fixture(scope="module")
def measured():
    table = make_scores()
    return Evidence(evaluation=assess(table, ("pneumonia",), SPEC), predictions=table, findings=("pneumonia",))


def test_what_belongs_together_is_relied_on(measured):
    rule = evidence_rule(measured, make_gate(), SPEC)
    assert (rule.outcome, rule.value) == ("PASS", 300.0)


@pytest.mark.parametrize(
    ("confidence", "target_sensitivity", "outcome"),
    [(0.95, 0.95, "PASS"), (0.96, 0.95, "FAIL"), (0.9, 0.9, "PASS"), (0.95, 0.96, "FAIL")],
)
def test_a_recipe_may_not_measure_less_strictly_than_the_policy_asks(measured, confidence, target_sensitivity, outcome):
    asked = make_gate(confidence=confidence, target_sensitivity=target_sensitivity)
    assert evidence_rule(measured, asked, SPEC).outcome == outcome


def test_other_means_beside_the_auroc_are_no_contradiction():
    """With several findings the means hold average precision and prevalence too; only the AUROCs are checked."""
    findings = ("mass", "nodule")
    table = make_scores(finding="mass")
    table[["target_nodule", "logit_nodule"]] = make_scores(seed=1)[["target_pneumonia", "logit_pneumonia"]]
    metrics = assess(table, findings, SPEC)
    evidence = Evidence(evaluation=metrics, predictions=table, findings=findings)
    assert evidence_rule(evidence, make_gate(), SPEC).outcome == "PASS"
    auroc, resampled, *others = metrics.mean["test"]
    resampled = dataclasses.replace(resampled, value=resampled.value - 0.01)
    lowered = dataclasses.replace(metrics, mean={"test": (auroc, resampled, *others)})
    evidence = dataclasses.replace(evidence, evaluation=lowered)
    assert "mean AUROC is stated as" in evidence_rule(evidence, make_gate(), SPEC).sentence


def outcomes(rules):
    return {one.finding or "all": one.outcome for one in rules}


@pytest.mark.parametrize(
    ("n", "n_positive", "outcome"),
    [(100, 20, "PASS"), (100, 19, "FAIL"), (100, 80, "PASS"), (100, 81, "FAIL")],
)
def test_both_classes_need_their_images(n, n_positive, outcome):
    found = make_finding(counts=make_counts(n, n_positive))
    _, rule = assessable_rules(make_evidence({"edema": found}), make_gate())
    assert (rule.outcome, rule.bound, rule.value) == (outcome, 20.0, min(n_positive, n - n_positive))


FEW = make_finding(counts=make_counts(100, 3))
UNMEASURED = make_finding(assessable=False, reason="validation holds 3 positive images")


@pytest.mark.parametrize("few", [FEW, UNMEASURED])
def test_a_finding_that_matters_is_not_passed_without_images(few):
    found = {"edema": few, "mass": make_finding(), "hernia": few}
    asked = make_gate(assessable=AssessableSpec(matters=("edema", "mass"), others_missing=1))
    rules = assessable_rules(make_evidence(found), asked)
    assert outcomes(rules) == {"all": "PASS", "edema": "FAIL", "mass": "PASS", "hernia": "NOT_ASSESSABLE"}
    said = {one.finding: one.sentence for one in rules}
    assert "3 positive" in said["edema"]
    assert "must be assessed" in said["edema"]
    assert "does not insist" in said["hernia"]


@pytest.mark.parametrize(("others_missing", "outcome"), [(1, "FAIL"), (2, "PASS")])
def test_only_so_many_others_may_be_missing(others_missing, outcome):
    found = {"edema": make_finding(), "mass": FEW, "hernia": FEW}
    asked = make_gate(assessable=AssessableSpec(matters=("edema",), others_missing=others_missing))
    whole = assessable_rules(make_evidence(found), asked)[0]
    assert (whole.outcome, whole.value, whole.bound) == (outcome, 2.0, float(others_missing))


def test_with_no_finding_at_all_there_is_no_pass():
    asked = make_gate(assessable=AssessableSpec(matters=(), others_missing=14))
    assert outcomes(assessable_rules(make_evidence({"edema": FEW}), asked))["all"] == "FAIL"


@pytest.mark.parametrize(
    ("value", "answer"),
    [(0, True), (0.5, True), (None, False), (True, False), ("1", False), (float("nan"), False), (float("inf"), False)],
)
def test_what_is_a_number(value, answer):
    assert is_number(value) is answer


def test_evidence_may_not_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_evidence().champion_version = None


def by_class(**changed):
    given = {name: {"n": 30, "n_patients": 30, "n_effective": 30.0} for name in ("positive", "negative")}
    return {"test": {"n": 60, "n_positive": 30, "by_class": {**given, **changed}}}


@pytest.mark.parametrize(
    ("counts", "outcome", "said"),
    [
        (by_class(positive={"n": 30, "n_patients": 2, "n_effective": 2.0}), "FAIL", "30 positive images of 2 patients"),
        (by_class(negative={"n": 30, "n_patients": 9, "n_effective": 9.0}), "FAIL", "30 negative images of 9 patients"),
        (
            by_class(positive={"n": 30, "n_patients": 9, "n_effective": 2.4}),
            "FAIL",
            "worth 2.4 with equally many images",
        ),
        (
            by_class(positive={"n": 30, "n_patients": 10, "n_effective": 5.0}),
            "PASS",
            "30 positive images of 10 patients",
        ),
        ({"test": {"n": 60, "n_positive": 30}}, "FAIL", "evaluate the model again"),
    ],
)
def test_many_images_of_few_patients_are_not_enough(counts, outcome, said):
    """30 images of 2 patients passed as enough: the rule counted images."""
    _, rule = assessable_rules(make_evidence({"edema": make_finding(counts=counts)}), make_gate())
    assert rule.outcome == outcome
    assert said in rule.sentence


def test_the_patients_of_each_class_are_counted_by_evaluation():
    table = make_scores()
    ill = table.index[(table["split"] == "test") & (table["target_pneumonia"] == 1.0)]
    table.loc[ill, "patient_key"] = ["a", "b"] * (len(ill) // 2) + ["a"] * (len(ill) % 2)
    metrics = assess(table, ("pneumonia",), SPEC)
    evidence = Evidence(evaluation=metrics, predictions=table, findings=("pneumonia",))
    found = {one.finding: one for one in assessable_rules(evidence, make_gate())}
    assert found["pneumonia"].outcome == found[""].outcome == "FAIL"
    assert f"{len(ill)} positive images of 2 patients" in found["pneumonia"].sentence

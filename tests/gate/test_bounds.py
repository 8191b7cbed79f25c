from __future__ import annotations

import pytest

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.gate_specs import AssessableSpec, Bound
from cxr_tasks.contracts.metrics import DECISION_METRICS, FINDING_METRICS, MEAN_METRICS, by_name
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.assess import assess
from cxr_tasks.gate.bounds import finding_rules, mean_rules, served_rules, typicality_rules
from cxr_tasks.statistics.intervals import wilson
from tests.evaluations import make_point, make_typicality
from tests.gate.builders import make_counts, make_evidence, make_finding, make_gate, make_scores, record


def means(*records, findings=("mass", "nodule")):
    return make_evidence({one: make_finding() for one in findings}, list(records))


@pytest.mark.parametrize(
    ("delong_lower", "bootstrap_lower", "outcome"),
    [
        (0.90, 0.91, "PASS"),  # at the floor
        (0.8999, 0.91, "FAIL"),
        (0.91, 0.8999, "FAIL"),  # the lower of the two counts
    ],
)
def test_the_lower_end_of_the_mean_must_reach_the_floor(delong_lower, bootstrap_lower, outcome):
    evidence = means(
        record("auroc", 0.95, delong_lower, 0.97), record("auroc_patient_bootstrap", 0.95, bootstrap_lower, 0.96)
    )
    (rule,) = mean_rules(evidence, make_gate())
    assert (rule.name, rule.outcome, rule.bound, rule.value) == ("mean_auroc", outcome, 0.9, 0.95)
    assert rule.lower == min(delong_lower, bootstrap_lower)
    assert rule.sentence.startswith("Mean AUROC on test is 0.9500")


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (record("auroc", None, reason="not assessable: 3 positives"), "is not known: not assessable: 3 positives"),
        ({**record("auroc", 0.95), "lower": None}, "a number is missing"),
        (record("other", 0.95), "metrics.json does not hold it"),
    ],
)
def test_a_number_that_is_not_there_is_a_fail(broken, said):
    (rule,) = mean_rules(means(broken, record("auroc_patient_bootstrap", 0.95, 0.94, 0.96)), make_gate())
    assert (rule.outcome, rule.value, rule.bound) == ("FAIL", None, 0.9)
    assert said in rule.sentence


def test_a_floor_of_this_run_is_told():
    (rule,) = mean_rules(make_evidence(), make_gate().with_floor(0.93), " set for this run (the policy asks for 0.9)")
    assert (rule.outcome, rule.bound) == ("FAIL", 0.93)
    assert "below the floor of 0.93 set for this run (the policy asks for 0.9)." in rule.sentence


@pytest.mark.parametrize(
    ("ends", "outcome", "bound", "said"),
    [
        ((0.3, 0.5), "PASS", 0.5, "its interval reaches into 0.5 to 2"),  # at the edge
        ((0.2, 0.4999), "FAIL", 0.5, "all of its interval lies below 0.5 to 2"),
        ((2.01, 5.0), "FAIL", 2.0, "all of its interval lies above 0.5 to 2"),
        ((0.1, 9.0), "PASS", 2.0, "reaches into"),  # little is known, nothing is shown to be wrong
    ],
)
def test_a_calibration_that_is_shown_to_be_wrong_is_refused(ends, outcome, bound, said):
    found = make_finding(metrics={"test": [record("calibration_slope", sum(ends) / 2, *ends)]})
    asked = make_gate(findings={"calibration_slope": Bound(reaches=(0.5, 2.0))})
    (rule,) = finding_rules(make_evidence({"edema": found}), asked)
    assert (rule.name, rule.finding, rule.outcome, rule.bound) == ("calibration_slope", "edema", outcome, bound)
    assert said in rule.sentence


def test_metrics_of_an_older_form_are_refused_by_what_they_lack():
    asked = make_gate(findings={"calibration_slope": Bound(reaches=(0.5, 2.0))})
    (rule,) = finding_rules(make_evidence(), asked)
    assert (rule.outcome, rule.value, rule.bound) == ("FAIL", None, 0.5)
    assert "metrics.json does not hold it" in rule.sentence


def decided(metrics, threshold=0.3):
    """One served operating point with these metrics on test."""
    return {"target_sensitivity": make_point(metrics, threshold=threshold)}


@pytest.mark.parametrize(("specificity", "outcome"), [(0.5, "PASS"), (0.4999, "FAIL"), (0.0, "FAIL")])
def test_the_served_decision_clears_enough(specificity, outcome):
    """Whatever a threshold chosen on test would reach: the record of it is there, and no rule reads it."""
    metrics = [record("sensitivity", 0.9, 0.8, 0.95), record("specificity", specificity, 0.0, 0.7)]
    read_off = [*make_finding()["metrics"]["test"], record("specificity_at_sensitivity", 0.9, 0.8, 0.95)]
    found = make_finding(operating_points=decided(metrics), metrics={"test": read_off})
    asked = make_gate(served={"sensitivity": Bound(at_least=0.5), "specificity": Bound(at_least=0.5)})
    sensitivity, rule = served_rules(make_evidence({"edema": found}), asked)
    assert (sensitivity.outcome, rule.name, rule.outcome, rule.bound) == ("PASS", "served_specificity", outcome, 0.5)


@pytest.mark.parametrize(("alarms", "outcome"), [(0.4, "PASS"), (0.41, "FAIL")])
def test_alarms_stay_under_their_ceiling(alarms, outcome):
    metrics = [record("sensitivity", 0.9, 0.8, 0.95), record("alarm_rate", alarms, 0.3, 0.5)]
    asked = make_gate(served={"sensitivity": Bound(at_least=0.5), "alarm_rate": Bound(at_most=0.4)})
    rules = served_rules(make_evidence({"edema": make_finding(operating_points=decided(metrics))}), asked)
    assert [one.outcome for one in rules] == ["PASS", outcome]


def test_a_finding_may_have_floors_of_its_own_on_what_is_served():
    metrics = [record("sensitivity", 0.9, 0.8, 0.95), record("specificity", 0.3, 0.2, 0.4)]
    found = {one: make_finding(operating_points=decided(metrics)) for one in ("edema", "mass")}
    asked = make_gate(
        served={"sensitivity": Bound(at_least=0.5), "specificity": Bound(at_least=0.2)},
        served_by_finding={"mass": {"specificity": Bound(at_least=0.4)}},
    )
    rules = [one for one in served_rules(make_evidence(found), asked) if one.name == "served_specificity"]
    assert [(one.finding, one.outcome, one.bound) for one in rules] == [("edema", "PASS", 0.2), ("mass", "FAIL", 0.4)]


def test_a_rare_finding_that_calls_everybody_is_refused():
    """One positive test image: nothing can be said of what it finds, all of the 201 alarms."""
    metrics = [record("sensitivity", 1.0, 0.2, 1.0), record("specificity", 0.02, 0.01, 0.05)]
    few = make_finding(counts=make_counts(202, 1), assessable=False, operating_points=decided(metrics))
    asked = make_gate(
        served={"sensitivity": Bound(at_least=0.5), "specificity": Bound(at_least=0.15)},
        assessable=AssessableSpec(matters=(), others_missing=1),
    )
    rules = served_rules(make_evidence({"edema": few}), asked)
    assert [(one.name, one.outcome) for one in rules] == [
        ("served_sensitivity", "PASS"),
        ("served_specificity", "FAIL"),
    ]
    metrics[0] = record("sensitivity", None, reason="there are no positive images", n=0)
    assert served_rules(make_evidence({"edema": few}), asked)[0].outcome == "NOT_ASSESSABLE"


def test_a_finding_without_a_threshold_is_judged_as_it_is_served():
    """At an uncalibrated probability of 0.5, which is what serving takes where validation gave nothing."""
    raw = [record("sensitivity_at_raw_half", 1.0, 0.2, 1.0), record("specificity_at_raw_half", 0.02, 0.01, 0.05)]
    few = make_finding(counts=make_counts(202, 1), assessable=False, operating_points={}, raw_half={"test": raw})
    asked = make_gate(
        served={"sensitivity": Bound(at_least=0.5), "specificity": Bound(at_least=0.15)},
        assessable=AssessableSpec(matters=(), others_missing=1),
    )
    (rule,) = served_rules(make_evidence({"edema": few}), asked)
    assert (rule.name, rule.outcome) == ("served_specificity", "FAIL")


def test_each_finding_has_its_floor_and_those_without_images_have_none():
    few = make_finding(counts=make_counts(100, 3), assessable=False)
    found = {"edema": make_finding(), "mass": make_finding(), "hernia": few}
    asked = make_gate(
        findings={"auroc": Bound(lower_at_least=0.92)},
        by_finding={"mass": {"auroc": Bound(lower_at_least=0.93)}},
        assessable=AssessableSpec(matters=()),
    )
    rules = finding_rules(make_evidence(found), asked)
    assert [(one.finding, one.outcome, one.bound) for one in rules] == [("edema", "PASS", 0.92), ("mass", "FAIL", 0.93)]
    # What it calls is served all the same.
    assert [one.finding for one in served_rules(make_evidence(found), asked)] == ["edema", "mass", "hernia"]


@pytest.mark.parametrize(
    ("bound", "outcome"),
    [
        (Bound(at_least=0.9), "PASS"),
        (Bound(at_least=0.9001), "FAIL"),
        (Bound(lower_at_least=0.8), "PASS"),
        (Bound(lower_at_least=0.8001), "FAIL"),
    ],
)
def test_the_served_decision_finds_enough(bound, outcome):
    (rule,) = served_rules(make_evidence(), make_gate(served={"sensitivity": bound}))
    assert (rule.name, rule.outcome, rule.value) == ("served_sensitivity", outcome, 0.9)


@pytest.mark.parametrize(
    ("found", "n", "outcome"),
    [
        (0, 5, "FAIL"),  # 0 to 0.43: finds nearly nothing, and five images are enough to say so
        (1, 5, "PASS"),  # 0.04 to 0.62
        (6, 16, "PASS"),  # 0.18 to 0.61: as of consolidation on the 180 test images of a part of ChestX-ray14
        (3, 16, "FAIL"),  # 0.07 to 0.43
        (3, 19, "FAIL"),
        (19, 19, "PASS"),
    ],
)
def test_of_few_images_the_upper_end_must_reach_the_floor(found, n, outcome):
    """Fewer than the policy's 20 and not insisted on; with 20 the sensitivity itself must reach the floor."""
    one = wilson(found, n, 0.95)
    point = make_point([record("sensitivity", one.value, one.lower, one.upper)])
    hernia = make_finding(counts=make_counts(100, n), operating_points={"youden": point})
    asked = make_gate(assessable=AssessableSpec(matters=(), others_missing=1))
    mass, few = served_rules(make_evidence({"mass": make_finding(), "hernia": hernia}), asked)
    assert (mass.outcome, few.name, few.finding, few.outcome) == ("PASS", "served_sensitivity", "hernia", outcome)
    assert (few.value, few.upper, few.bound) == (one.value, one.upper, 0.5)
    assert ("below the floor of 0.5" in few.sentence) == (outcome == "FAIL")


def test_a_sensitivity_that_is_no_number_is_a_fail_of_few_images_too():
    point = make_point([record("sensitivity", None, reason="lost")])
    few = make_finding(counts=make_counts(100, 7), operating_points={"youden": point})
    asked = make_gate(assessable=AssessableSpec(matters=(), others_missing=1))
    (rule,) = served_rules(make_evidence({"hernia": few}), asked)
    assert (rule.outcome, rule.value) == ("FAIL", None)


@pytest.mark.parametrize(
    "found", [make_finding(operating_points={}), make_finding(operating_points={"own": make_point([], served=False)})]
)
def test_no_served_decision_is_no_evidence(found):
    with pytest.raises(KeyError, match="served threshold of edema"):
        served_rules(make_evidence({"edema": found}), make_gate())


def test_another_threshold_than_was_measured_is_no_evidence():
    served = {"pneumonia": make_finding(operating_points=decided([], threshold=0.31))}
    evidence = make_evidence(served)
    with pytest.raises(KeyError, match="served threshold of pneumonia"):
        served_rules(evidence, make_gate())


def test_a_policy_may_name_exactly_what_evaluation_makes():
    table = make_scores(finding="mass")
    table[["target_nodule", "logit_nodule"]] = make_scores(seed=1)[["target_pneumonia", "logit_pneumonia"]]
    metrics = assess(table, ("mass", "nodule"), EvaluateSpec(bootstrap_samples=100))
    for names, records in (
        (MEAN_METRICS, metrics.mean["test"]),
        (FINDING_METRICS, metrics.by_finding["mass"].metrics["test"]),
        (DECISION_METRICS, metrics.served_point("mass").test.metrics),
    ):
        assert set(names) == set(by_name(records))


@pytest.mark.parametrize(("upper", "outcome"), [(0.63, "PASS"), (0.55, "PASS"), (0.5499, "FAIL")])
def test_a_floor_on_the_upper_end_refuses_only_what_is_shown_to_be_lower(upper, outcome):
    """Of 25 ill 11 found is 0.44, which a model that finds 0.6 shows in one of 20 tests; it was refused for it."""
    found = make_finding(operating_points=decided([record("sensitivity", 0.44, 0.26, upper)]))
    asked = make_gate(served={"sensitivity": Bound(upper_at_least=0.55)})
    (rule,) = served_rules(make_evidence({"hernia": found}), asked)
    assert (rule.outcome, rule.bound) == (outcome, 0.55)
    where = "at or above" if outcome == "PASS" else "below"
    assert f"its upper end is {where} the floor of 0.55" in rule.sentence


def with_typicality(reason: str = "", **values: float):
    records = [record(name, value, value - 0.02, min(value + 0.02, 1.0)) for name, value in values.items()]
    return make_evidence(typicality=make_typicality(reason=reason, records=records))


def test_typicality_can_be_given_floors_and_ceilings():
    gate = make_gate(typicality={"inverted": Bound(lower_at_least=0.9), "unusual_test": Bound(at_most=0.05)})
    met = typicality_rules(with_typicality(inverted=0.95, unusual_test=0.02), gate)
    assert [(one.name, one.outcome) for one in met] == [
        ("typicality_inverted", "PASS"),
        ("typicality_unusual_test", "PASS"),
    ]
    missed = typicality_rules(with_typicality(inverted=0.91, unusual_test=0.3), gate)
    assert [one.outcome for one in missed] == ["FAIL", "FAIL"]
    assert "X-rays with black and white exchanged is 0.9100 (0.8900 to 0.9300" in missed[0].sentence
    assert typicality_rules(make_evidence(), make_gate()) == []


def test_typicality_that_was_not_measured_is_a_fail_and_drawings_are_not_strange_to_their_own_model():
    gate = make_gate(typicality={"noise": Bound(at_least=0.9), "unusual_phantoms": Bound(at_least=0.5)})
    before = typicality_rules(make_evidence(), gate)
    assert [one.outcome for one in before] == ["FAIL", "FAIL"]
    unfitted = typicality_rules(with_typicality("8 images are there"), gate)
    assert "is not known: 8 images are there" in unfitted[0].sentence
    learnt_from_drawings = typicality_rules(with_typicality(noise=1.0), gate)
    assert [one.outcome for one in learnt_from_drawings] == ["PASS", "NOT_APPLICABLE"]


def test_typicality_of_a_picture_that_nobody_measures_is_no_policy():
    with pytest.raises(ConfigurationError, match="'invertd' is not known; did you mean 'inverted'"):
        make_gate(typicality={"invertd": Bound(at_least=0.9)})

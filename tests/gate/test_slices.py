from __future__ import annotations

import numpy as np
import pytest

from cxr_tasks.contracts.gate_specs import AssessableSpec, SlicesSpec
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.assess import assess
from cxr_tasks.gate.evidence import Evidence
from cxr_tasks.gate.slices import slice_rules
from tests.evaluate.formulas import newcombe
from tests.gate.builders import make_counts, make_evidence, make_finding, make_gate, make_scores


def group(by, value, found, n_positive, cleared=90, n_negative=100):
    """A row of ``subgroups``: ``found`` of ``n_positive`` were called, ``cleared`` of ``n_negative`` were not."""
    return {
        "by": by,
        "value": value,
        "n": n_positive + n_negative,
        "n_positive": n_positive,
        "sensitivity": [found / n_positive, 0.0, 1.0] if n_positive else None,
        "specificity": [cleared / n_negative, 0.0, 1.0] if n_negative else None,
        "is_weak": n_positive < 20,
    }


def asked(**changed):
    given = {"by": ("sex",), "least_images": 20, "gaps": {"sensitivity_gap": 0.1}, "correction": "none"}
    return make_gate(slices=SlicesSpec(**{**given, **changed}))


def rule_of(rows, gate):
    (rule,) = slice_rules(make_evidence({"edema": make_finding(subgroups=rows)}), gate)
    return rule


@pytest.mark.parametrize(
    ("women_found", "outcome"),
    [
        (90, "PASS"),  # alike
        (80, "PASS"),  # 0.10 worse: the bound itself
        (79, "FAIL"),  # 0.11 worse, interval -0.21 to -0.01
        (50, "FAIL"),
    ],
)
def test_a_group_may_not_be_worse_than_the_bound(women_found, outcome):
    rule = rule_of([group("sex", "female", women_found, 100), group("sex", "male", 90, 100)], asked())
    expected = newcombe(women_found, 100, 90, 100, 0.95)
    assert (rule.name, rule.finding, rule.outcome, rule.bound) == ("slice_sensitivity_gap", "edema", outcome, -0.1)
    if women_found < 90:
        assert (rule.value, rule.lower, rule.upper) == (expected.value, expected.lower, expected.upper)
        assert "female" in rule.sentence


def test_an_interval_that_holds_zero_is_no_refusal():
    """13 of 20 against 18 of 20 is 0.25 worse, and may be chance: -0.47 to 0.01."""
    rule = rule_of([group("sex", "female", 13, 20), group("sex", "male", 18, 20)], asked())
    assert rule.value == pytest.approx(-0.25)
    assert rule.upper > 0
    assert rule.outcome == "PASS"


@pytest.mark.parametrize(("n", "is_compared"), [(20, True), (19, False)])
def test_small_groups_are_not_compared(n, is_compared):
    rule = rule_of([group("sex", "female", 1, n), group("sex", "male", 90, 100)], asked())
    assert (rule.outcome, rule.name) == (
        ("FAIL", "slice_sensitivity_gap") if is_compared else ("NOT_APPLICABLE", "slices")
    )


def test_intervals_hold_together_over_all_comparisons():
    """0.11 worse is below zero by itself; one of two comparisons by chance, it is a hint and no refusal."""
    rows = [group("sex", "female", 79, 100), group("sex", "male", 90, 100)]
    assert rule_of(rows, asked()).outcome == "FAIL"
    rule = rule_of(rows, asked(correction="bonferroni"))
    together = newcombe(79, 100, 90, 100, 0.975)
    assert (rule.lower, rule.upper) == (together.lower, together.upper)
    assert rule.outcome == "PASS"
    assert "97.5 %: 2 comparisons" in rule.sentence
    assert "By itself, the interval of sex female lies below zero." in rule.sentence
    plain = [group("sex", "female", 60, 100), group("sex", "male", 90, 100)]
    assert rule_of(plain, asked(correction="bonferroni")).outcome == "FAIL"


def of_patients(found, other):
    """Rows of a group that finds ``found`` of its 25 images, and all others ``other`` of 400."""
    return [group("age_years", "0-19", found, 25), group("age_years", "20-39", other, 400)]


@pytest.mark.parametrize(("n_worse", "is_shown"), [(1, False), (4, True)])
def test_a_group_that_is_worse_in_several_findings_is_shown_by_all_together(n_worse, is_shown):
    """0.18 worse in a group of 25 images may be chance in one finding of 14, and is not in four of them."""
    findings = [f"finding {i}" for i in range(14)]
    evidence = make_evidence(
        {
            one: make_finding(subgroups=of_patients(18 if place < n_worse else 23, 360))
            for place, one in enumerate(findings)
        }
    )
    gate = asked(by=("age_years",), correction="simes")
    failed = [one for one in slice_rules(evidence, gate) if one.outcome == "FAIL"]
    assert len(failed) == (n_worse if is_shown else 0)
    assert not [
        one for one in slice_rules(evidence, asked(by=("age_years",), correction="bonferroni")) if one.outcome == "FAIL"
    ]
    if is_shown:
        assert "4 findings of age_years 0-19 shown together" in failed[0].sentence
        assert failed[0].upper < 0.0


def test_alike_for_all_is_refused_as_rarely_by_simes_as_by_bonferroni():
    """500 models that are the same for all, three groups and eight findings: at most the 2.5 % to a side, and luck."""
    rng, refused = np.random.default_rng(20261129), dict.fromkeys(("simes", "bonferroni"), 0)
    for _ in range(500):
        rows = {
            f"finding {i}": [group("age_years", f"{band}", int(rng.binomial(60, 0.8)), 60) for band in (0, 20, 40)]
            for i in range(8)
        }
        evidence = make_evidence({one: make_finding(subgroups=found) for one, found in rows.items()})
        for correction in refused:
            rules = slice_rules(evidence, asked(by=("age_years",), correction=correction))
            refused[correction] += any(one.outcome == "FAIL" for one in rules)
    assert refused["bonferroni"] <= refused["simes"] <= 0.04 * 500, refused


def test_every_group_that_is_worse_is_named_the_worst_first():
    rows = [
        *(group("age_years", band, found, 100) for band, found in (("0-19", 60), ("20-39", 95), ("80+", 65))),
        group("sex", "female", 90, 100),
        group("sex", "male", 90, 100),
    ]
    rule = rule_of(rows, asked(by=("age_years", "sex")))
    assert rule.value == pytest.approx(0.60 - 0.80)
    assert "age_years 0-19 -0.200" in rule.sentence
    assert "age_years 80+ -0.125" in rule.sentence
    assert "sex" not in rule.sentence


def test_specificity_is_compared_among_those_without_the_finding():
    rows = [group("view", "ap", 9, 10, cleared=60), group("view", "pa", 9, 10, cleared=90)]
    gate = asked(by=("view",), gaps={"sensitivity_gap": 0.1, "specificity_gap": 0.15})
    rule = rule_of(rows, gate)  # ten positives are too few for the sensitivity
    assert (rule.name, rule.outcome) == ("slice_specificity_gap", "FAIL")
    assert rule.value == pytest.approx(-0.3)


def test_images_of_one_patient_are_counted_together():
    """79 of 100 against 90 of 100 is below zero as long as each image is another patient's; of 20 patients with five
    images whose calls go together it may be chance."""
    rows = [group("sex", "female", 79, 100), group("sex", "male", 90, 100)]
    for row, hits in zip(rows, ((79, 90), (90, 79)), strict=True):
        one, rest = (
            {"hits": found, "n": 100, "n_patients": 20, "n_effective": 20.0, "freedom": 23.0} for found in hits
        )
        row["compared"] = {"sensitivity": {"one": one, "other": rest, "correlation": 0.0}}
    rule = rule_of(rows, asked())
    assert rule.outcome == "PASS"
    assert rule.value == pytest.approx(-0.11)
    assert rule.lower < newcombe(79, 100, 90, 100, 0.95).lower
    assert "n = 100 and 100 of 20 and 20 patients" in rule.sentence


def test_findings_without_images_are_left_out():
    rows = [group("sex", "female", 50, 100), group("sex", "male", 90, 100)]
    few = make_finding(subgroups=rows, counts=make_counts(100, 3))
    gate = make_gate(assessable=AssessableSpec(matters=()), slices=asked().slices)
    found = slice_rules(make_evidence({"edema": make_finding(subgroups=rows), "mass": few}), gate)
    assert [one.finding for one in found] == ["edema"]


def test_gaps_are_those_that_evaluation_measured():
    table = make_scores()
    table["sex"] = ["female", "male"] * (len(table) // 2)
    metrics = assess(table, ("pneumonia",), EvaluateSpec(bootstrap_samples=100))
    evidence = Evidence(evaluation=metrics, predictions=table, findings=("pneumonia",))
    measured = [row.sensitivity_gap for row in metrics.by_finding["pneumonia"].subgroups]
    (rule,) = slice_rules(evidence, asked())
    assert [rule.value, rule.lower, rule.upper] == pytest.approx(min(measured))

from __future__ import annotations

import pytest

from cxr_tasks.contracts.gate_specs import AssessableSpec, SlicesSpec
from cxr_tasks.gate.slices import slice_rules
from tests.gate.builders import make_evidence, make_finding, make_gate


def facts(value, error=0.04, n=(60, 800), n_patients=(40, 500), freedom=30.0):
    return {
        "value": value, "error": error, "freedom": freedom, "n_strata": 2, "n": list(n), "n_patients": list(n_patients),
    }  # fmt: skip


def rules_of(*rows, **asked):
    gate = make_gate(
        slices=SlicesSpec(**{"by": ("sex",), "least_images": 20, "gaps": {"sensitivity_gap": 0.15}, **asked}),
        assessable=AssessableSpec(least_positives=5, least_patients=10),
    )
    together = {"test": {"findings": [], "micro": [], "served": {}, "subgroups": list(rows)}}
    evidence = make_evidence({"edema": make_finding(), "mass": make_finding()}, several=together)
    return slice_rules(evidence, gate)


def row(value, sensitivity, by="sex"):
    return {"by": by, "value": value, "sensitivity": sensitivity, "specificity": None}


@pytest.mark.parametrize(
    ("value", "error", "outcome"),
    [
        (-0.30, 0.04, "FAIL"),
        (-0.14, 0.01, "PASS"),  # shown, and within what is taken as alike
        (-0.30, 0.20, "PASS"),  # may be chance
        (0.30, 0.04, "PASS"),  # better
    ],
)
def test_a_group_that_is_missed_over_all_findings_is_refused(value, error, outcome):
    """Though each finding has too few images of the group to be compared by itself."""
    (rule,) = rules_of(row("female", facts(value, error)))
    assert (rule.name, rule.finding, rule.outcome, rule.bound) == ("slice_sensitivity_gap", "", outcome, -0.15)
    assert "all findings together" in rule.sentence
    assert "sex female" in rule.sentence


def test_the_worst_is_told_and_every_group_that_is_refused_named():
    (rule,) = rules_of(row("a", facts(-0.3)), row("b", facts(-0.5)), row("c", facts(0.1)))
    assert rule.value == -0.5
    assert "sex a -0.300" in rule.sentence
    assert "sex c" not in rule.sentence


@pytest.mark.parametrize("changed", [{"n": (19, 800)}, {"n": (60, 19)}, {"n_patients": (9, 500)}])
def test_few_images_or_patients_are_not_compared(changed):
    (rule,) = rules_of(row("female", facts(-0.5, **changed)))
    assert (rule.name, rule.outcome) == ("slices", "NOT_APPLICABLE")


def test_a_property_that_the_policy_does_not_ask_for_is_left_out():
    (rule,) = rules_of(row("lateral", facts(-0.5), by="view"), row("female", None))
    assert rule.outcome == "NOT_APPLICABLE"


def test_comparisons_hold_together_at_half_of_the_level():
    """0.05 halved, for two groups: each interval at 0.9875."""
    (rule,) = rules_of(row("female", facts(-0.1)), row("male", facts(0.1)))
    assert "98.75 %: 2 comparisons" in rule.sentence
    assert (rule.lower, rule.upper) == pytest.approx((-0.1 - 2.657 * 0.04, -0.1 + 2.657 * 0.04), abs=1e-3)

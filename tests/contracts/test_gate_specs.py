from __future__ import annotations

import pytest

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.gate_specs import AssessableSpec, Bound, GateSpec

FLOOR = Bound(lower_at_least=0.9)
FOUND = {"sensitivity": Bound(at_least=0.5)}


@pytest.mark.parametrize(
    ("bound", "side", "met", "not_met"),
    [
        (Bound(lower_at_least=0.9), "lower", 0.9, 0.8999),
        (Bound(at_least=0.9), "value", 0.9, 0.8999),
        (Bound(at_most=0.08), "value", 0.08, 0.0801),
        (Bound(upper_at_most=0.08), "upper", 0.08, 0.0801),
    ],
)
def test_a_bound_itself_is_met(bound, side, met, not_met):
    assert bound.side == side
    assert (bound.is_met(met), bound.is_met(not_met)) == (True, False)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "found none"),
        ({"at_least": 0.5, "at_most": 0.6}, "found at_least, at_most"),
        ({"at_least": 1.5}, "at_least: expected a value from 0.0 to 1.0, found 1.5"),
        ({"reaches": (2.0, 0.5)}, r"reaches: expected \[LOW, HIGH\] with -20 <= LOW < HIGH <= 20, found \[2.0, 0.5\]"),
        ({"reaches": (0.5,)}, r"found \[0.5\]"),
        ({"at_most": float("nan")}, "at_most: expected a value from 0.0 to 1.0, found nan"),
    ],
)
def test_a_bound_is_one_of_five(given, said):
    with pytest.raises(ConfigurationError, match=said):
        Bound(**given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"mean": {}, "served": FOUND}, "no model may pass without a floor"),
        ({"mean": {"auroc": Bound(at_least=0.9)}, "served": FOUND}, "mean.auroc.lower_at_least is missing"),
        (
            {"mean": {"auroc": FLOOR}, "served": {}},
            "served.sensitivity: expected at_least, lower_at_least or upper_at_least",
        ),
        (
            {
                "mean": {"auroc": FLOOR},
                "served": FOUND,
                "served_by_finding": {"mass": {"sensitivity": Bound(at_most=0.5)}},
            },
            "served_by_finding.mass.sensitivity: expected at_least, lower_at_least or upper_at_least",
        ),
        ({"mean": {"auroc": FLOOR}, "served": FOUND, "confidence": 0.5}, "confidence: expected a value from 0.9"),
    ],
)
def test_what_every_policy_must_ask(given, said):
    with pytest.raises(ConfigurationError, match=said):
        GateSpec(**given)


def test_a_finding_may_have_bounds_of_its_own():
    asked = GateSpec(
        mean={"auroc": FLOOR},
        served=FOUND,
        findings={"auroc": Bound(lower_at_least=0.7), "brier_after": Bound(at_most=0.08)},
        by_finding={"hernia": {"auroc": Bound(lower_at_least=0.6)}},
    )
    assert asked.bounds_of("mass") == {"auroc": Bound(lower_at_least=0.7), "brier_after": Bound(at_most=0.08)}
    assert asked.bounds_of("hernia") == {"auroc": Bound(lower_at_least=0.6), "brier_after": Bound(at_most=0.08)}


def test_another_floor_changes_nothing_else():
    asked = GateSpec(mean={"auroc": FLOOR, "brier_after": Bound(at_most=0.08)}, served=FOUND)
    lower = asked.with_floor(0.6)
    assert (lower.auroc_floor, lower.mean["brier_after"]) == (0.6, Bound(at_most=0.08))
    assert lower.with_floor(0.9) == asked
    assert asked.with_floor(None) is asked


def test_which_findings_matter():
    assert AssessableSpec().concerns("hernia")
    some = AssessableSpec(matters=("edema",))
    assert (some.concerns("edema"), some.concerns("hernia")) == (True, False)

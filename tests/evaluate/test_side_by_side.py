from __future__ import annotations

import dataclasses
import math

import pytest

from cxr_tasks.contracts.metrics import record_of
from cxr_tasks.contracts.serving_contract import FindingDecision
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.assess import assess
from cxr_tasks.evaluate.elsewhere.side_by_side import dataset_rows
from cxr_tasks.statistics.shares import Comparison, Share
from tests.evaluate.conftest import build_predictions

FINDINGS = ("edema", "mass")
SPEC = EvaluateSpec(bootstrap_samples=100)


@pytest.fixture(scope="module")
def measured():
    """A model at home, and where it ranks worse; mass has three positives there."""
    own = assess(build_predictions(findings=(*FINDINGS, "hernia")), (*FINDINGS, "hernia"), SPEC)
    table = build_predictions(findings=FINDINGS, separation=1.0, seed=5)
    table["target_mass"] = table.groupby("split").cumcount().lt(3).astype(float)
    brought = {
        name: FindingDecision(finding=name, a=serving.a, b=serving.b, threshold=serving.threshold)
        for name, serving in own.serving.items()
        if name in FINDINGS
    }
    return own, assess(table, FINDINGS, SPEC, own=brought)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_row_of_each_dataset_with_the_gaps_between(measured, split):
    own, other = measured
    elsewhere, home = dataset_rows(own, "nih", other, "chexpert", split)["edema"]
    assert [(one.by, one.value) for one in (elsewhere, home)] == [("dataset", "chexpert"), ("dataset", "nih")]
    points = (one.served_point("edema").on(split) for one in (other, own))
    mine, theirs = (Share.of_record(record_of(one.metrics, "sensitivity")) for one in points)
    assert mine.n_patients < mine.n == other.by_finding["edema"].counts[split].n_positive
    expected = Comparison(mine, theirs).difference(0.95)
    assert elsewhere.sensitivity_gap == (expected.value, expected.lower, expected.upper)
    assert home.sensitivity_gap == pytest.approx([-expected.value, -expected.upper, -expected.lower])
    assert elsewhere.false_negative_rate_gap == pytest.approx(home.sensitivity_gap)
    here, there = (record_of(one.by_finding["edema"].metrics[split], "auroc") for one in (other, own))
    value, lower, upper = elsewhere.auroc_gap
    assert value == pytest.approx(here.value - there.value)
    assert value - lower == pytest.approx(math.hypot(here.value - here.lower, there.upper - there.value))
    assert upper < 0, "clearly worse elsewhere"
    assert elsewhere.auroc == (here.value, here.lower, here.upper)
    assert elsewhere.n == other.by_finding["edema"].counts[split].n


def test_only_what_both_know_is_compared_and_few_positives_are_said(measured):
    rows = dataset_rows(measured[0], "nih", measured[1], "chexpert", "test")
    assert set(rows) == {"edema", "mass"}
    elsewhere, home = rows["mass"]
    assert (elsewhere.n_positive, elsewhere.auroc, elsewhere.auroc_gap) == (3, None, None)
    assert elsewhere.sensitivity_gap is not None
    assert (elsewhere.is_weak, elsewhere.is_gap_weak) == (True, True)
    assert (home.is_weak, home.is_gap_weak) == (False, True)


def test_without_a_decision_there_are_no_shares(measured):
    own, other = measured
    without = {name: dataclasses.replace(found, operating_points={}) for name, found in own.by_finding.items()}
    bare = dataclasses.replace(own, by_finding=without)
    elsewhere, home = dataset_rows(bare, "nih", other, "chexpert", "test")["edema"]
    assert (home.sensitivity, home.specificity_gap, elsewhere.false_negative_rate_gap) == (None, None, None)
    assert elsewhere.auroc_gap is not None

from __future__ import annotations

import math

import pytest

from cxr_tasks.contracts.metrics import record_of
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.assess import assess
from cxr_tasks.evaluate.flat_metrics import flat_metrics, readable

FINDINGS = ("hernia", "mass", "nodule")


@pytest.fixture(scope="module")
def metrics(make_predictions):
    table = make_predictions(findings=FINDINGS)
    is_rare = table.index % 50 == 0
    table["target_hernia"] = table["target_hernia"].where(is_rare, 0.0)
    return assess(table, FINDINGS, EvaluateSpec(bootstrap_samples=100))


def test_mean_micro_and_each_finding_have_names_of_their_own(metrics):
    flat = flat_metrics(metrics)
    assert flat["test_auroc"] == record_of(metrics.mean["test"], "auroc").value
    assert flat["test_auroc_micro"] == record_of(metrics.several["test"].micro, "auroc").value
    served = metrics.several["test"].served
    assert flat["test_sensitivity_served"] == record_of(served["mean"], "sensitivity").value
    assert flat["test_sensitivity_served_micro"] == record_of(served["micro"], "sensitivity").value
    point = metrics.by_finding["mass"].operating_points["target_sensitivity"]
    assert flat["test_sensitivity_served_mass"] == record_of(point.test.metrics, "sensitivity").value
    assert {"test_auroc_mass", "test_average_precision", "validation_auroc_nodule_lower"} <= set(flat)


def test_what_is_not_assessable_has_no_number(metrics):
    assert not [name for name in flat_metrics(metrics) if "auroc" in name and "hernia" in name]
    assert all(math.isfinite(value) for value in flat_metrics(metrics).values())


def test_points_that_do_not_serve_stay_in_the_file(metrics):
    assert not [name for name in flat_metrics(metrics) if "youden" in name]


def test_several_findings_are_one_line_each(metrics):
    lines = readable(metrics).splitlines()
    assert lines[0] == "test split"
    first = [one.split()[0] for one in lines[1:] if one.strip() and not one.startswith("-")]
    assert first == ["finding", *FINDINGS, "mean", "micro"]
    mass = record_of(metrics.by_finding["mass"].metrics["test"], "auroc")
    line = next(one for one in lines if one.startswith("mass"))
    assert f"{mass.value:.3f} ({mass.lower:.3f} to {mass.upper:.3f})" in line
    bent = record_of(metrics.by_finding["mass"].metrics["test"], "calibration_slope")
    assert f"{bent.value:.3f} ({bent.lower:.3f} to" in line
    assert "validation holds 3 positive" in next(one for one in lines if one.startswith("hernia"))

from __future__ import annotations

import numpy as np
import pytest

from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.assess import assess
from cxr_tasks.statistics.stratified import StratifiedDifference

FINDINGS = ("cardiomegaly", "mass", "nodule")


@pytest.fixture(scope="module")
def rows(make_predictions):
    """Women are a quarter of test, and half of their ill score as the healthy do."""
    table = make_predictions(findings=FINDINGS, n_test=800)
    table["sex"] = np.where(np.arange(len(table)) % 4 == 0, "female", "male")
    rng = np.random.default_rng(3)
    for finding in FINDINGS:
        missed = (table["sex"] == "female") & (table[f"target_{finding}"] == 1.0) & (rng.random(len(table)) < 0.5)
        healthy = table.loc[table[f"target_{finding}"] == 0.0, f"logit_{finding}"].to_numpy()
        table.loc[missed, f"logit_{finding}"] = rng.choice(healthy, int(missed.sum()))
    table.loc[table.index % 10 == 0, "target_mass"] = np.nan
    metrics = assess(table, FINDINGS, EvaluateSpec(bootstrap_samples=100))
    return table, metrics, metrics.several["test"].subgroups


def of(rows, by, value):
    (row,) = [one for one in rows if (one.by, one.value) == (by, value)]
    return row


def test_a_group_that_is_missed_is_seen_over_all_findings(rows):
    _, metrics, together = rows
    found = StratifiedDifference.of_facts(of(together, "sex", "female").sensitivity)
    gaps = [of(metrics.by_finding[one].subgroups, "sex", "female").sensitivity_gap.value for one in FINDINGS]
    assert min(gaps) <= found.value <= max(gaps) < 0.0
    assert found.interval(0.95).upper < 0.0
    assert of(together, "sex", "male").sensitivity.value == pytest.approx(-found.value)


def test_it_counts_the_images_whose_target_is_known(rows):
    table, _, together = rows
    women = table[(table["split"] == "test") & (table["sex"] == "female")]
    found = of(together, "sex", "female")
    n_positive = sum(int((women[f"target_{one}"] == 1.0).sum()) for one in FINDINGS)
    n_negative = sum(int((women[f"target_{one}"] == 0.0).sum()) for one in FINDINGS)
    assert (found.sensitivity.n[0], found.specificity.n[0]) == (n_positive, n_negative)


def test_a_property_with_one_value_splits_nothing(rows):
    _, _, together = rows
    assert "source" not in {one.by for one in together}


def test_findings_that_cannot_be_assessed_are_left_out(make_predictions):
    table = make_predictions(findings=FINDINGS)
    table["sex"] = np.where(np.arange(len(table)) % 2 == 0, "female", "male")
    table["target_mass"] = 0.0
    metrics = assess(table, FINDINGS, EvaluateSpec(bootstrap_samples=100))
    row = of(metrics.several["test"].subgroups, "sex", "female")
    assert row.sensitivity.n_strata == len(metrics.several["test"].findings) == 2

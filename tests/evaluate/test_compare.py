from __future__ import annotations

import numpy as np
import pytest

from cxr_tasks.contracts.errors import DataDefect, UndefinedMetric
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.compare import mean_auroc_difference
from cxr_tasks.evaluate.intervals import auroc_difference
from cxr_tasks.evaluate.table import scored

FINDINGS = ("pneumonia",)
SPEC = EvaluateSpec(bootstrap_samples=500)


def noisier(table, sigma, seed=1):
    noise = np.random.default_rng(seed).normal(size=len(table)) * sigma
    return table.assign(logit_pneumonia=table["logit_pneumonia"] + noise)


def test_a_model_equals_itself_in_any_order(make_predictions):
    table = make_predictions()
    one = mean_auroc_difference(table, table.sample(frac=1, random_state=0), FINDINGS, SPEC)
    assert (one.value, one.lower, one.upper) == (0.0, 0.0, 0.0)


def test_the_lower_of_two_intervals_is_taken(make_predictions):
    table = make_predictions(images_per_patient=1)
    worse = noisier(table, 2.0)
    one = mean_auroc_difference(worse, table, FINDINGS, SPEC)
    rows, theirs = scored(worse, "test", "pneumonia"), scored(table, "test", "pneumonia")
    paired = auroc_difference(rows.is_positive, rows.logit, theirs.logit, 0.95)
    assert one.value == pytest.approx(paired.value, abs=1e-12)
    assert one.lower <= paired.lower
    assert one.upper < 0


def test_several_findings_are_compared_by_their_mean(make_predictions):
    table = make_predictions(findings=("cardiomegaly", "pneumonia"))
    one = mean_auroc_difference(noisier(table, 2.0), table, ("cardiomegaly", "pneumonia"), SPEC)
    alone = mean_auroc_difference(noisier(table, 2.0), table, FINDINGS, SPEC)
    assert one.value == pytest.approx(alone.value / 2)  # cardiomegaly is scored alike by both
    assert "bootstrap" in one.method


def test_other_images_cannot_be_compared(make_predictions):
    with pytest.raises(DataDefect, match="same test images"):
        mean_auroc_difference(make_predictions(), make_predictions(n_test=198), FINDINGS, SPEC)


def test_too_few_positives_cannot_be_compared(make_predictions):
    table = make_predictions(n_test=6)
    with pytest.raises(UndefinedMetric, match="at least 5 of each"):
        mean_auroc_difference(table, table, FINDINGS, SPEC)

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.serving_contract import FindingDecision
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.assess import assess, record_of, served_point
from cxr_tasks.evaluate.calibration import sigmoid
from cxr_tasks.evaluate.scores import auroc
from cxr_tasks.evaluate.table import rows_sha256, scored

FINDINGS = ("pneumonia",)
SPEC = EvaluateSpec(bootstrap_samples=300)


@pytest.fixture(scope="module")
def metrics(make_predictions):
    return assess(make_predictions(), FINDINGS, SPEC)


def test_every_number_has_its_n_and_an_interval_that_holds_it(metrics):
    found = metrics["by_finding"]["pneumonia"]
    records = [*metrics["mean"]["test"], *found["metrics"]["test"], *found["metrics"]["validation"]]
    for point in found["operating_points"].values():
        records += [*point["test"]["metrics"], *point["validation"]["metrics"]]
    assert len(records) == 2 + 2 * 9 + 3 * 2 * 6
    for one in records:
        assert one["n"] > 0, one
        assert one["lower"] <= one["value"] <= one["upper"], one
        assert one["method"], one


def test_is_json_without_nan(metrics):
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics


def test_the_auroc_is_that_of_the_table(metrics, make_predictions):
    rows = scored(make_predictions(), "test", "pneumonia")
    test = metrics["by_finding"]["pneumonia"]["metrics"]["test"]
    assert record_of(test, "auroc")["value"] == pytest.approx(auroc(rows.is_positive, rows.logit), abs=1e-12)
    assert metrics["mean"]["test"][0]["value"] == record_of(test, "auroc")["value"]
    assert metrics["rows_sha256"] == rows_sha256(make_predictions(), FINDINGS)
    assert metrics["splits"] == {
        "validation": {"n_images": 120, "n_patients": 60},
        "test": {"n_images": 200, "n_patients": 100},
    }


def test_images_in_any_order_give_the_same_numbers(metrics, make_predictions):
    shuffled = assess(make_predictions().sample(frac=1, random_state=3), FINDINGS, SPEC)
    ours, theirs = (one["by_finding"]["pneumonia"]["metrics"]["test"] for one in (metrics, shuffled))
    for one, other in zip(ours, theirs, strict=True):
        for key in ("value", "lower", "upper"):
            assert one[key] == pytest.approx(other[key], abs=1e-9)
    assert shuffled["serving"]["pneumonia"] == pytest.approx(metrics["serving"]["pneumonia"])


def test_nothing_is_chosen_on_test(metrics, make_predictions):
    """Other test logits change what is measured there, and neither calibration nor a threshold."""
    table = make_predictions()
    is_test = table["split"] == "test"
    table.loc[is_test, "logit_pneumonia"] = np.random.default_rng(9).normal(size=int(is_test.sum())) * 7
    other = assess(table, FINDINGS, SPEC)
    assert other["serving"] == metrics["serving"]
    assert other["mean"]["validation"] == metrics["mean"]["validation"]
    assert other["mean"]["test"][0]["value"] != metrics["mean"]["test"][0]["value"]


def test_what_serving_needs_makes_the_calls_that_were_measured(metrics, make_predictions):
    serving = metrics["serving"]["pneumonia"]
    decision = FindingDecision(finding="pneumonia", **{key: serving[key] for key in ("a", "b", "threshold")})
    rows = scored(make_predictions(), "test", "pneumonia")
    called = sigmoid(decision.a * rows.logit + decision.b) >= decision.threshold
    point = served_point(metrics, "pneumonia")
    assert point["test"]["true_positives"] == int((called & rows.is_positive).sum())
    assert point["test"]["false_positives"] == int((called & ~rows.is_positive).sum())
    assert serving["operating_point"] == "target_sensitivity"
    reached = record_of(point["validation"]["metrics"], "sensitivity")["value"]
    assert reached >= SPEC.target_sensitivity


@pytest.mark.parametrize("name", ["youden", "best_f1", "target_sensitivity"])
def test_the_recipe_names_the_served_operating_point(make_predictions, name):
    spec = EvaluateSpec(bootstrap_samples=100, served_operating_point=name)
    metrics = assess(make_predictions(), FINDINGS, spec)
    points = metrics["by_finding"]["pneumonia"]["operating_points"]
    assert [key for key, one in points.items() if one["served"]] == [name]
    assert metrics["serving"]["pneumonia"]["threshold"] == points[name]["threshold"]


def test_a_shifted_logit_scale_still_finds_the_positives(make_predictions):
    """Raw probabilities all below 0.5 (a recall of 0 at 0.5) are put right by calibration on validation."""
    table = make_predictions()
    table["logit_pneumonia"] -= 30.0
    point = served_point(assess(table, FINDINGS, SPEC), "pneumonia")
    assert record_of(point["test"]["metrics"], "sensitivity")["value"] > 0.85


@pytest.mark.parametrize("split", ["validation", "test"])
def test_too_few_positives_are_not_assessable_and_never_a_number(make_predictions, split):
    table = make_predictions()
    rows = table.index[table["split"] == split]
    table.loc[rows, "target_pneumonia"] = 0.0
    table.loc[rows[:3], "target_pneumonia"] = 1.0
    metrics = assess(table, FINDINGS, SPEC)
    found = metrics["by_finding"]["pneumonia"]
    assert not found["assessable"]
    assert f"{split} holds 3 positive" in found["reason"]
    one = record_of(found["metrics"][split], "auroc")
    assert one["value"] is None
    assert one["reason"].startswith("not assessable: ")
    assert metrics["mean"][split][0]["value"] is None
    if split == "validation":
        assert found["operating_points"] == {}
        assert metrics["serving"]["pneumonia"]["operating_point"] is None
        assert "3 positive" in metrics["serving"]["pneumonia"]["reason"]
    else:
        assert metrics["serving"]["pneumonia"]["operating_point"] == "target_sensitivity"


def test_several_findings_and_their_mean(make_predictions):
    findings = ("cardiomegaly", "hernia", "pneumonia")
    table = make_predictions(findings=findings)
    table.loc[table["target_hernia"] == 1.0, "target_hernia"] = np.nan
    metrics = assess(table, findings, SPEC)
    mean = metrics["mean"]["test"][0]
    each = [
        record_of(metrics["by_finding"][one]["metrics"]["test"], "auroc")["value"]
        for one in ("cardiomegaly", "pneumonia")
    ]
    assert mean["value"] == pytest.approx(np.mean(each))
    assert mean["lower"] < mean["value"] < mean["upper"]
    assert mean["method"].startswith("mean over 2 findings, 1 not assessable")
    assert not metrics["by_finding"]["hernia"]["assessable"]


def test_subgroups_come_from_the_table_and_from_the_index(make_predictions):
    table = make_predictions()
    index = pd.DataFrame({"image_id": table["image_id"], "sub_label": ["virus", "bacteria"] * (len(table) // 2)})
    rows = assess(table, FINDINGS, SPEC, index)["by_finding"]["pneumonia"]["subgroups"]
    by = {(one["by"], one["value"]): one for one in rows}
    assert {"view", "sex", "age_years", "sub_label"} == {name for name, _ in by}
    assert by["sub_label", "virus"]["n"] + by["sub_label", "bacteria"]["n"] == 200
    assert by["age_years", "0-19"]["is_weak"] == (by["age_years", "0-19"]["n_positive"] < 20)
    assert "source" not in {name for name, _ in by}  # one source only: nothing to compare


def test_the_classification_report_is_of_test_at_the_served_point(metrics):
    text = metrics["by_finding"]["pneumonia"]["classification_report"]
    sensitivity = record_of(served_point(metrics, "pneumonia")["test"]["metrics"], "sensitivity")
    line = next(one for one in text.splitlines() if one.strip().startswith("Pneumonia"))
    assert f"{sensitivity['value']:.3f}" in line
    assert line.split()[-1] == str(sensitivity["n"])


def test_a_broken_table_is_a_data_defect(make_predictions):
    with pytest.raises(DataDefect, match="missing: target_hernia, logit_hernia"):
        assess(make_predictions(), ("hernia",), SPEC)

from __future__ import annotations

import pytest

from cxr_tasks.contracts.evaluation.evaluation import Evaluation
from cxr_tasks.report.page.conclusion_several import several_can_do, several_cannot_do, what_to_do
from cxr_tasks.report.page.findings import ranked_findings
from cxr_tasks.report.page.gaps import gap_rows, gap_sections
from cxr_tasks.report.page.several import SUMMARY, summary_rows
from tests.evaluations import json_record

FINDINGS = ("atelectasis", "edema", "hernia", "mass", "nodule")


@pytest.fixture
def metrics(make_inputs):
    return make_inputs(findings=FINDINGS, separation=1.5, n=300, rare="hernia", decision=None).evaluation.to_json()


def set_record(metrics, finding, name, **changed):
    record = json_record(metrics["by_finding"][finding]["metrics"]["test"], name)
    record.update(changed, reason="" if "value" in changed else record["reason"])


def set_gap(metrics, finding, *, gap, n_positive=40, weak=False):
    row = {
        "by": "sex", "value": "female", "n": 100, "n_positive": n_positive, "is_weak": weak, "is_gap_weak": weak,
        "sensitivity": [0.5, 0.4, 0.6], "specificity": None, "auroc": None, "sensitivity_gap": gap,
    }  # fmt: skip
    metrics["by_finding"][finding]["subgroups"] = [row]


def test_strongest_and_weakest_follow_the_auroc_and_leave_out_what_cannot_be_assessed(metrics):
    for finding, value in (("atelectasis", 0.7), ("edema", 0.9), ("mass", 0.8), ("nodule", 0.6)):
        set_record(metrics, finding, "auroc", value=value, lower=value - 0.05, upper=value + 0.05)
    assert ranked_findings(Evaluation.from_json(metrics)) == ["edema", "mass", "atelectasis", "nodule", "hernia"]
    can, cannot = (
        " ".join(several_can_do(Evaluation.from_json(metrics))),
        " ".join(several_cannot_do(Evaluation.from_json(metrics), "nih")),
    )
    assert "Strongest: edema (0.900, interval 0.850 to 0.950), mass" in can
    assert "Weakest: nodule (0.600, interval 0.550 to 0.650), atelectasis" in cannot
    assert "no decision is claimed: hernia (2 positive in validation, 2 in test)" in cannot
    assert "over 4 of 5 findings" in can


@pytest.mark.parametrize(("lower", "is_unclear"), [(0.49, True), (0.51, False)])
def test_chance_is_told_by_the_interval(metrics, lower, is_unclear):
    set_record(metrics, "mass", "auroc", value=0.6, lower=lower, upper=0.7)
    assert (
        "Not shown to be better than chance" in " ".join(several_can_do(Evaluation.from_json(metrics)))
    ) == is_unclear
    assert any("Do not act on mass" in one for one in what_to_do(Evaluation.from_json(metrics))) == is_unclear


def test_the_recall_of_a_raw_half_stands_beside_the_served_one(metrics):
    for finding in FINDINGS:
        json_record(metrics["by_finding"][finding]["raw_half"]["test"], "sensitivity_at_raw_half")["value"] = 0.01
    text = " ".join(several_can_do(Evaluation.from_json(metrics)))
    assert "would find 1.0 % on average, and less than 5 % for" in text
    served = json_record(metrics["several"]["test"]["served"]["mean"], "sensitivity")
    assert f"The served decisions find {served['value'] * 100:.1f} % of the positive images" in text


def test_clear_gaps_are_named_with_what_chance_would_make(metrics):
    for finding in FINDINGS:
        metrics["by_finding"][finding]["subgroups"] = []
    set_gap(metrics, "mass", gap=[-0.3, -0.45, -0.1])
    set_gap(metrics, "edema", gap=[-0.4, -0.7, -0.1], n_positive=8, weak=True)
    set_gap(metrics, "nodule", gap=[-0.1, -0.3, 0.1])
    (clear,) = [one for one in gap_rows(Evaluation.from_json(metrics)) if one.is_clear]
    assert (clear.finding, clear.missed_gap) == ("mass", (0.3, 0.1, 0.45))
    text = " ".join(several_cannot_do(Evaluation.from_json(metrics), "nih"))
    assert "1 of 2 gaps" in text
    assert "mass, Sex female: -0.30 (-0.45 to -0.10, n = 40 positive)" in text
    assert any(
        "repeat the comparison on new data: Sex female" in one for one in what_to_do(Evaluation.from_json(metrics))
    )


def test_a_group_that_is_missed_over_all_findings_is_named(metrics):
    facts = {"value": -0.2, "error": 0.05, "freedom": 40.0, "n_strata": 4, "n": [60, 400], "n_patients": [50, 300]}
    rows = [{"by": "age_years", "value": "0-19", "sensitivity": facts, "specificity": None}]
    metrics["several"]["test"]["subgroups"] = rows
    assert "for Age 0-19 -0.20 (-0.30 to -0.10)" in " ".join(several_cannot_do(Evaluation.from_json(metrics), "nih"))
    rows[0]["sensitivity"] = {**facts, "n": [19, 400]}
    assert "Over all findings together" not in " ".join(several_cannot_do(Evaluation.from_json(metrics), "nih"))
    del metrics["several"]["test"]["subgroups"]  # as written before findings were taken together
    assert "Over all findings together" not in " ".join(several_cannot_do(Evaluation.from_json(metrics), "nih"))


def test_the_matrix_of_gaps_has_a_column_for_all_findings(metrics):
    for finding in FINDINGS:
        set_gap(metrics, finding, gap=[-0.1, -0.3, 0.1])
    facts = {"value": -0.2, "error": 0.05, "freedom": 40.0, "n_strata": 4, "n": [60, 400], "n_patients": [50, 300]}
    metrics["several"]["test"]["subgroups"] = [
        {"by": "sex", "value": "female", "sensitivity": facts, "specificity": None}
    ]
    gaps = gap_sections(Evaluation.from_json(metrics))
    assert gaps["names"][-1] == "All together"
    (row,) = gaps["groups"]
    assert len(row["cells"]) == len(gaps["names"])
    assert (row["cells"][-1]["text"], row["cells"][-1]["is_clear"]) == ("-0.20", True)


def test_a_sensitivity_below_what_validation_promised_asks_for_new_thresholds(metrics):
    point = metrics["by_finding"]["mass"]["operating_points"]["target_sensitivity"]
    for split, found in (("validation", 95), ("test", 70)):
        counted = {"n": 100, "n_positive": found, "n_patients": 100, "n_effective": 100.0, "freedom": None}
        json_record(point[split]["metrics"], "sensitivity").update(value=found / 100, **counted)
    assert any("thresholds of mass" in one for one in what_to_do(Evaluation.from_json(metrics)))
    json_record(point["test"]["metrics"], "sensitivity").update(value=0.92, n_positive=92)
    assert not any("thresholds of mass" in one for one in what_to_do(Evaluation.from_json(metrics)))


@pytest.mark.parametrize(("slope", "is_said"), [((0.2, 0.1, 0.4), True), ((0.9, 0.5, 1.3), False)])
def test_bad_calibration_is_told(metrics, slope, is_said):
    for finding in FINDINGS:
        set_record(metrics, finding, "calibration_beyond_shift", value=0.0, lower=-0.1, upper=0.1)
        set_record(metrics, finding, "calibration_slope", value=1.0, lower=0.8, upper=1.2)
    value, lower, upper = slope
    set_record(metrics, "edema", "calibration_slope", value=value, lower=lower, upper=upper)
    told = [
        one
        for one in several_cannot_do(Evaluation.from_json(metrics), "nih")
        if "probabilities of edema are too extreme" in one
    ]
    assert bool(told) == is_said
    assert any("Calibrate edema" in one for one in what_to_do(Evaluation.from_json(metrics))) == is_said


@pytest.mark.parametrize(("n_positive", "is_said"), [(20, True), (40, False)])
def test_an_interval_of_before_that_rests_on_few_positives_is_told(metrics, n_positive, is_said):
    """A metrics.json of before patients were counted is still read; its intervals are DeLong's and too narrow."""
    for finding in FINDINGS:
        changed = {"value": 0.9, "lower": 0.85, "upper": 0.93, "n": 400, "n_positive": 100, "n_patients": None}
        set_record(metrics, finding, "auroc", **changed)
    set_record(metrics, "mass", "auroc", n_positive=n_positive)
    told = [one for one in several_cannot_do(Evaluation.from_json(metrics), "nih") if "rest on few errors" in one]
    assert [one.split(" rest on")[0] for one in told] == (["The AUROC intervals of mass"] if is_said else [])
    assert not is_said or "evaluate the model again" in told[0]


@pytest.mark.parametrize(
    ("method", "is_said"), [("wider of both (few errors)", True), ("DeLong 95 % by patient", False)]
)
def test_an_interval_that_was_widened_for_few_errors_is_told(metrics, method, is_said):
    for finding in FINDINGS:
        set_record(metrics, finding, "auroc", method="DeLong 95 % by patient, logit scale")
    set_record(metrics, "mass", "auroc", method=method)
    told = [one for one in several_cannot_do(Evaluation.from_json(metrics), "nih") if "rest on few errors" in one]
    assert [one.split(" rest on")[0] for one in told] == (["The AUROC intervals of mass"] if is_said else [])
    assert not is_said or "a wider one stands here" in told[0]


def test_every_reader_hears_that_this_is_no_medical_device(metrics):
    assert "not a medical device" in " ".join(several_cannot_do(Evaluation.from_json(metrics), "some_other"))


def test_mean_and_micro_have_a_number_in_every_column_but_the_raw_half(metrics):
    for row in summary_rows(Evaluation.from_json(metrics))[-2:]:
        empty = [name for name, one in zip(SUMMARY, row["cells"], strict=True) if one is None]
        # A mean of signed errors would let two findings cancel.
        assert empty == ["sensitivity_at_raw_half", "calibration_intercept", "calibration_slope"]

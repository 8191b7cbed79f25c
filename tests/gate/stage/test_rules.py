"""How the numbers of a candidate become outcomes: intervals, floors, too few images, decisions that miss."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cxr_tasks.evaluate.assess import assess
from cxr_tasks.gate.stage import gate_candidate
from tests.gate.builders import make_scores
from tests.gate.stage.evaluated import FINDINGS, SPEC, evaluated, outcomes, written


def test_the_lower_end_must_reach_the_floor_not_the_value(recipe, paths, tmp_path):
    """AUROC 0.92 with a lower end of 0.88 is no pass over a floor of 0.9."""
    model = evaluated(tmp_path, make_scores(separation=2.0))
    decision = gate_candidate(model, recipe, None, paths)
    floor = next(rule for rule in written(decision)["rules"] if rule["name"] == "mean_auroc")
    assert floor["lower"] < 0.9 < floor["value"]
    assert outcomes(decision)["mean_auroc"] == "FAIL"
    assert decision.verdict == "FAIL"
    assert "below the floor of 0.9" in decision.reasons[0]


@pytest.mark.parametrize(("floor", "outcome"), [(0.6, "PASS"), (0.999, "FAIL")])
def test_a_floor_set_for_this_run_stands_in_the_decision(recipe, paths, tmp_path, floor, outcome):
    model = evaluated(tmp_path, make_scores(separation=2.0))
    decision = gate_candidate(model, recipe.with_overrides(gate_floor=floor), None, paths)
    assert outcomes(decision)["mean_auroc"] == outcome
    assert written(decision)["gate_floor"] == {"policy": 0.9, "run": floor}
    (rule,) = (one for one in written(decision)["rules"] if one["name"] == "mean_auroc")
    assert f"floor of {floor:g} set for this run (the policy asks for 0.9)" in rule["sentence"]


def test_the_smaller_of_delong_and_patient_bootstrap_counts(recipe, paths, tmp_path):
    """Ten images of each patient that are alike: the lower of two intervals counts, and both count patients."""
    table = make_scores(n=40, seed=4)
    many = pd.concat([table.assign(image_id=table["image_id"] + f".{i}") for i in range(10)], ignore_index=True)
    decision = gate_candidate(evaluated(tmp_path, many), recipe, None, paths)
    records = assess(many, FINDINGS, SPEC).mean["test"]
    floor = next(rule for rule in written(decision)["rules"] if rule["name"] == "mean_auroc")
    assert floor["lower"] == min(one.lower for one in records[:2])
    alone = many.assign(patient_key=[f"{i:016x}" for i in range(len(many))])
    by_image = assess(alone, FINDINGS, SPEC).mean["test"]
    assert records[0].lower < by_image[0].lower


@pytest.mark.parametrize("split", ["validation", "test"])
def test_too_few_positives_are_a_fail_with_the_counts(recipe, paths, tmp_path, split):
    table = make_scores()
    rows = table.index[table["split"] == split]
    table.loc[rows, "target_pneumonia"] = np.r_[np.ones(3), np.zeros(len(rows) - 3)]
    decision = gate_candidate(evaluated(tmp_path, table), recipe, None, paths)
    assert decision.verdict == "FAIL"
    assert outcomes(decision)["assessable"] == "FAIL"
    assert f"{split} holds 3 positive" in " ".join(decision.reasons)


def test_a_decision_that_misses_nearly_all_never_passes(recipe, paths, tmp_path):
    """Test positives score far below validation's: the order is kept (AUROC 0.98), the decision finds nothing."""
    table = make_scores()
    table.loc[table["split"] == "test", "logit_pneumonia"] -= 8.0
    decision = gate_candidate(evaluated(tmp_path, table), recipe, None, paths)
    assert outcomes(decision)["mean_auroc"] == "PASS"
    assert outcomes(decision)["served_sensitivity"] == outcomes(decision)["calibration_beyond_shift"] == "FAIL"
    assert decision.verdict == "FAIL"

"""What the gate decides and leaves behind: the file, the log, the verdict."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from cxr_tasks.contracts.handoffs.judgement import GateDecision
from cxr_tasks.contracts.policies import POLICIES_FOLDER, load_policy
from cxr_tasks.gate.evidence import Rule
from cxr_tasks.gate.stage import gate_candidate, reasons_of, verdict_of
from cxr_tasks.installation.storage.files import read_json, sha256_file
from tests.gate.builders import make_scores
from tests.gate.stage.evaluated import evaluated, outcomes, written


def test_a_good_first_model_passes_and_every_rule_is_written(recipe, paths, tmp_path):
    decision = gate_candidate(evaluated(tmp_path, make_scores()), recipe, None, paths)
    assert outcomes(decision) == {
        "evidence": "PASS",
        "assessable": "PASS",
        "mean_auroc": "PASS",
        "calibration_beyond_shift": "PASS",
        "calibration_slope": "PASS",
        "served_sensitivity": "PASS",
        "served_specificity": "PASS",
        "slices": "NOT_APPLICABLE",
        "champion": "NOT_APPLICABLE",
    }
    assert decision.verdict == "PASS"
    assert decision.champion_version is None
    floor = next(rule for rule in written(decision)["rules"] if rule["name"] == "mean_auroc")
    assert floor["bound"] == 0.9 < floor["lower"] < floor["value"] < floor["upper"]
    assert "n = 300" in floor["sentence"]
    assert GateDecision.from_payload(json.loads(json.dumps(decision.to_payload()))) == decision


def test_what_a_reader_has_to_know_stands_beside_the_rules(recipe, paths, tmp_path, caplog):
    """A clock or a test split used before: neither is a rule, and neither may go unseen."""
    remark = {"name": "clock", "sentence": "A clock ended training after epoch 3 of 40 (20 minutes have passed)."}

    def with_remark(metrics):
        metrics["remarks"] = [remark]

    with caplog.at_level(logging.INFO, logger="cxr_tasks.gate.stage"):
        decision = gate_candidate(evaluated(tmp_path, make_scores(), with_remark), recipe, None, paths)
    assert written(decision)["remarks"] == [remark] and decision.verdict == "PASS"
    assert caplog.text.rstrip().endswith(f"REMARK clock: {remark['sentence']}")


def test_the_form_of_a_decision(recipe, paths, tmp_path):
    """Report, model card and approval read it: a key that goes or changes its meaning needs another ``format``."""
    model = evaluated(tmp_path, make_scores())
    decision = gate_candidate(model, recipe, None, paths)
    found = written(decision)
    rules, asked, rows = found.pop("rules"), found.pop("asked"), found.pop("rows_sha256")
    assert found == {
        "format": 2,
        "model_name": "cxr_binary",
        "verdict": "PASS",
        "reasons": [],
        "remarks": [],
        "policy": "cxr_binary",
        "policy_version": load_policy("cxr_binary").version,
        "policy_sha256": sha256_file(POLICIES_FOLDER / "cxr_binary.yaml"),
        "policy_section": "synthetic_binary",
        "gate_floor": None,
        "dataset": "synthetic_binary",
        "dataset_fingerprint": "ab" * 32,
        "recipe": "synthetic_binary",
        "recipe_sha256": recipe.sha256,
        "mlflow_run_id": "0" * 32,
        "predictions_sha256": model.predictions.sha256,
        "metrics_sha256": model.metrics.sha256,
        "champion_version": None,
    }
    assert all(
        list(one) == ["name", "finding", "outcome", "sentence", "value", "lower", "upper", "bound"] for one in rules
    )
    assert asked["mean"] == {"auroc": {"lower_at_least": 0.9}}
    assert rows == read_json(Path(model.metrics.uri))["rows_sha256"]
    assert (decision.policy, decision.policy_sha256) == (
        f"cxr_binary {found['policy_version']}",
        found["policy_sha256"],
    )
    assert decision.dataset_fingerprint == "ab" * 32


def test_the_log_shows_every_rule_as_a_line_of_a_table(recipe, paths, tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="cxr_tasks.gate.stage"):
        decision = gate_candidate(evaluated(tmp_path, make_scores(separation=2.0)), recipe, None, paths)
    lines = caplog.messages[-1].splitlines()
    assert lines[0] == "cxr_binary: FAIL"
    assert lines[1].split() == ["rule", "finding", "outcome", "value", "lower", "upper", "bound"]
    rules = written(decision)["rules"]
    assert [line.split()[0] for line in lines[3 : 3 + len(rules)]] == [one["name"] for one in rules]
    assert f"FAIL mean_auroc: {decision.reasons[0]}" in lines


@pytest.mark.parametrize(
    ("found", "verdict", "n_reasons"),
    [
        ([], "FAIL", 0),
        (["PASS"], "PASS", 0),
        (["PASS", "NOT_APPLICABLE", "NOT_ASSESSABLE"], "PASS", 0),
        (["PASS", "NEEDS_HUMAN"], "NEEDS_HUMAN", 1),
        (["NEEDS_HUMAN", "FAIL", "PASS"], "FAIL", 2),
    ],
)
def test_the_verdict_of_rules(found, verdict, n_reasons):
    rules = [Rule(name="r", outcome=one, sentence=one) for one in found]
    assert verdict_of(rules) == verdict
    assert len(reasons_of(rules)) == n_reasons
    assert reasons_of(rules)[:1] == [one for one in ("FAIL", "NEEDS_HUMAN") if one in found][:1]


def test_the_same_evidence_gives_the_same_decision(recipe, paths, tmp_path):
    model = evaluated(tmp_path, make_scores())
    first, second = (gate_candidate(model, recipe, None, paths) for _ in range(2))
    assert first == second

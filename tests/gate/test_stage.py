from __future__ import annotations

import dataclasses
import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_tasks.contracts.handoffs.judgement import ChampionEvidence, EvaluatedModel, GateDecision
from cxr_tasks.contracts.policies import POLICIES_FOLDER, load_policy
from cxr_tasks.contracts.recipes import Recipe, load_recipe
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.assess import assess
from cxr_tasks.gate.evidence import Evidence, Rule
from cxr_tasks.gate.stage import decide, gate_candidate, reasons_of, verdict_of
from cxr_tasks.installation.storage.files import read_json, reference_to, sha256_file, verified_path, write_json
from cxr_tasks.installation.storage.paths import RunPaths
from tests.gate.builders import make_gate, make_scores

FINDINGS = ("pneumonia",)
SPEC = EvaluateSpec(bootstrap_samples=300)


@pytest.fixture
def recipe() -> Recipe:
    return dataclasses.replace(load_recipe("synthetic_binary"), evaluate=SPEC)


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    return RunPaths(tmp_path / "run")


def evaluated(folder: Path, table: pd.DataFrame, change_metrics=None) -> EvaluatedModel:
    """An evaluation on disk, as ``evaluate_model`` leaves it; ``change_metrics`` edits metrics.json before hashing."""
    folder.mkdir(parents=True, exist_ok=True)
    metrics = assess(table, FINDINGS, SPEC).to_json()
    metrics["model"] = {"dataset_fingerprint": "ab" * 32}
    if change_metrics:
        change_metrics(metrics)
    table.to_parquet(folder / "predictions.parquet", index=False)
    write_json(folder / "metrics.json", metrics)
    return EvaluatedModel(
        model_name="cxr_binary",
        mlflow_run_id="0" * 32,
        predictions=reference_to(folder / "predictions.parquet"),
        metrics=reference_to(folder / "metrics.json"),
        test_auroc=None,
        test_auroc_lower=None,
        test_auroc_upper=None,
    )


def written(decision: GateDecision) -> dict:
    found = read_json(verified_path(decision.decision))
    assert found["verdict"] == decision.verdict
    assert tuple(found["reasons"]) == decision.reasons
    assert (decision.verdict == "PASS") == (not decision.reasons)
    return found


def outcomes(decision: GateDecision) -> dict[str, str]:
    """Of the rules on the model as a whole, and of those on its one finding where there is no other of that name."""
    rules = written(decision)["rules"]
    return {rule["name"]: rule["outcome"] for rule in sorted(rules, key=lambda one: one["finding"] == "")}


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


def test_the_log_shows_every_rule_as_a_line_of_a_table(recipe, paths, tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="cxr_tasks.gate.stage"):
        decision = gate_candidate(evaluated(tmp_path, make_scores(separation=2.0)), recipe, None, paths)
    lines = caplog.messages[-1].splitlines()
    assert lines[0] == "cxr_binary: FAIL"
    assert lines[1].split() == ["rule", "finding", "outcome", "value", "lower", "upper", "bound"]
    rules = written(decision)["rules"]
    assert [line.split()[0] for line in lines[3 : 3 + len(rules)]] == [one["name"] for one in rules]
    assert f"FAIL mean_auroc: {decision.reasons[0]}" in lines


def remove(path: Path) -> None:
    path.unlink()


def append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" ")


@pytest.mark.parametrize("name", ["metrics", "predictions"])
@pytest.mark.parametrize(("damage", "said"), [(remove, "found none"), (append, "changed after it was written")])
def test_a_missing_or_changed_file_is_a_fail_with_its_name(recipe, paths, tmp_path, *, name, damage, said):
    model = evaluated(tmp_path, make_scores())
    damage(Path(getattr(model, name).uri))
    decision = gate_candidate(model, recipe, None, paths)
    assert outcomes(decision) == {"evidence": "FAIL"}
    assert decision.verdict == "FAIL"
    assert name in decision.reasons[0]
    assert said in decision.reasons[0]


def test_a_file_that_may_not_be_read_is_a_fail(recipe, paths, tmp_path, monkeypatch):
    def refused(path, findings):
        raise PermissionError(13, "Permission denied", str(path))

    model = evaluated(tmp_path, make_scores())
    monkeypatch.setattr("cxr_tasks.gate.stage.read_predictions", refused)
    decision = gate_candidate(model, recipe, None, paths)
    assert (decision.verdict, outcomes(decision)) == ("FAIL", {"evidence": "FAIL"})
    assert "Permission denied" in decision.reasons[0]


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "{}", '{"rows_sha256": 1}', '{"findings": "pneumonia"}'])
def test_metrics_that_say_nothing_are_a_fail(recipe, paths, tmp_path, content):
    model = evaluated(tmp_path, make_scores())
    Path(model.metrics.uri).write_text(content)
    model = dataclasses.replace(model, metrics=reference_to(Path(model.metrics.uri)))
    decision = gate_candidate(model, recipe, None, paths)
    assert decision.verdict == "FAIL"
    assert outcomes(decision) == {"evidence": "FAIL"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "expected a policy of the gate, found No such file"),
        ("version: [", "expected YAML"),
        ("version: 1\ndefault: {mean: {aurok: {at_least: 0.9}}, served: {}}", "did you mean 'auroc'"),
    ],
)
def test_a_policy_that_cannot_be_read_is_a_fail(recipe, paths, tmp_path, text, said):
    policies = tmp_path / "policies"
    policies.mkdir()
    if text is not None:
        (policies / "cxr_binary.yaml").write_text(text)
    decision = gate_candidate(evaluated(tmp_path, make_scores()), recipe, None, paths, policies)
    assert (decision.verdict, outcomes(decision)) == ("FAIL", {"policy": "FAIL"})
    assert said in decision.reasons[0]
    found = written(decision)
    assert (found["policy"], found["asked"], decision.policy, decision.policy_sha256) == (None, None, "", "")


def test_a_dataset_without_a_section_is_asked_the_default(recipe, paths, tmp_path):
    elsewhere = dataclasses.replace(recipe, dataset=dataclasses.replace(recipe.dataset, name="elsewhere"))
    decision = gate_candidate(evaluated(tmp_path, make_scores()), elsewhere, None, paths)
    assert written(decision)["policy_section"] == "default"


def set_mean(**changed):
    def change(metrics):
        metrics["mean"]["test"][0].update(changed)

    return change


def raise_auroc(metrics):
    for records in (metrics["mean"]["test"], metrics["by_finding"]["pneumonia"]["metrics"]["test"]):
        for one in records:
            one.update(value=0.999, lower=0.99, upper=1.0)


def raise_mean_only(metrics):
    for one in metrics["mean"]["test"]:
        one.update(value=0.999, lower=0.99, upper=1.0)


def other_threshold(metrics):
    metrics["serving"]["pneumonia"]["threshold"] = 0.999


def of_another_finding(metrics):
    metrics["findings"] = ["hernia"]
    for part in ("by_finding", "serving"):
        metrics[part] = {"hernia": metrics[part]["pneumonia"]}


@pytest.mark.parametrize(
    ("change", "rule", "said"),
    [
        (set_mean(value=None, lower=None, upper=None, reason="r"), "mean_auroc", "on test is not known: r"),
        (set_mean(lower=None), "mean_auroc", "a number is missing"),
        (raise_auroc, "evidence", "is stated as 0.999000"),  # better numbers than the predictions give
        (raise_mean_only, "evidence", "mean AUROC is stated as 0.999000"),
        (other_threshold, "evidence", "served threshold"),  # would be served otherwise than it was measured
        (lambda m: m.update(rows_sha256="f" * 64), "evidence", "test rows ffffffffffff"),
        (of_another_finding, "evidence", "does not hold what the gate reads (KeyError: 'pneumonia')"),
        (lambda m: m.update(findings=["hernia"]), "evidence", "expected each of the findings hernia in by_finding"),
        (lambda m: m.update(confidence=0.5), "evidence", "intervals are of 0.5, the policy asks for 0.95"),
        (lambda m: m["mean"].pop("test"), "evidence", "does not hold what the gate reads"),
        (lambda m: m["by_finding"]["pneumonia"].pop("subgroups"), "evidence", "pneumonia: 'subgroups' is missing"),
        (lambda m: m.update(format=4), "evidence", "expected format 3 or an earlier one, found 4"),
        (set_mean(lower="high"), "evidence", "mean.test[0].lower: expected float, found str 'high'"),
        (set_mean(lower=True), "evidence", "mean.test[0].lower: expected float, found bool True"),
        (lambda m: m["by_finding"]["pneumonia"]["counts"].clear(), "evidence", "does not hold what the gate reads"),
    ],
)
def test_numbers_that_cannot_be_relied_on_are_a_fail(recipe, paths, tmp_path, *, change, rule, said):
    decision = gate_candidate(evaluated(tmp_path, make_scores(), change), recipe, None, paths)
    assert decision.verdict == "FAIL"
    assert outcomes(decision)[rule] == "FAIL"
    assert said in " ".join(decision.reasons)


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


def champion(tmp_path: Path, table: pd.DataFrame) -> ChampionEvidence:
    path = tmp_path / "champion.parquet"
    table[table["split"] == "test"].to_parquet(path, index=False)
    return ChampionEvidence(version=7, predictions=path)


@pytest.mark.parametrize(("noise", "verdict"), [(0.0, "PASS"), (3.0, "FAIL")])
def test_a_candidate_is_held_against_the_champion(recipe, paths, tmp_path, noise, verdict):
    model = evaluated(tmp_path, make_scores(noise=noise))
    decision = gate_candidate(model, recipe, champion(tmp_path, make_scores()), paths)
    assert (decision.verdict, outcomes(decision)["champion"]) == (verdict, verdict)
    assert decision.champion_version == written(decision)["champion_version"] == 7
    assert written(decision)["rules"][-1]["bound"] == -0.02


def broken(tmp_path):
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    return ChampionEvidence(version=7, predictions=tmp_path / "broken.parquet")


def other_rows(tmp_path):
    return champion(tmp_path, make_scores(n=299))


def empty(tmp_path):
    return champion(tmp_path, make_scores().iloc[:0])


def gone(tmp_path):
    return ChampionEvidence(version=7, reason="its model file is gone")


def nowhere(tmp_path):
    return ChampionEvidence(version=7, predictions=tmp_path / "nowhere.parquet")


def without_scores(tmp_path):
    return champion(tmp_path, make_scores().drop(columns="logit_pneumonia"))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (gone, "its model file is gone"),
        (nowhere, "expected a Parquet file"),
        (broken, "expected a Parquet file"),
        (without_scores, "missing: logit_pneumonia"),
        (other_rows, "it was scored on other test rows"),
        (empty, "it was scored on other test rows"),
    ],
)
def test_a_champion_that_could_not_be_scored_needs_a_person(recipe, paths, tmp_path, make, said):
    good, bad = make_scores(), make_scores(separation=1.0)
    decision = gate_candidate(evaluated(tmp_path, good), recipe, make(tmp_path), paths)
    assert (decision.verdict, outcomes(decision)["champion"]) == ("NEEDS_HUMAN", "NEEDS_HUMAN")
    assert len(decision.reasons) == 1
    assert "cannot be compared with champion version 7" in decision.reasons[0]
    assert said in decision.reasons[0]
    shutil.rmtree(paths.root)
    decision = gate_candidate(evaluated(tmp_path, bad), recipe, make(tmp_path), paths)
    assert decision.verdict == "FAIL"  # what the candidate is itself refused for wins
    assert "cannot be compared" in decision.reasons[-1]


@settings(max_examples=20, deadline=None)
@given(separation=st.floats(0.0, 6.0), seed=st.integers(0, 99), problem=st.text(max_size=20))
def test_a_champion_without_scores_is_never_passed(separation, seed, problem):
    """However good the candidate is, and whatever is said of the champion."""
    table = make_scores(separation=separation, seed=seed, n=60)
    metrics = _assessed(separation, seed)
    evidence = Evidence(
        evaluation=metrics, predictions=table, findings=FINDINGS, champion_version=7, champion_problem=problem
    )
    assert verdict_of(decide(evidence, make_gate(), FEW_SAMPLES, 0.5)) in ("NEEDS_HUMAN", "FAIL")


FEW_SAMPLES = EvaluateSpec(bootstrap_samples=100)


def _assessed(separation, seed):
    return assess(make_scores(separation=separation, seed=seed, n=60), FINDINGS, FEW_SAMPLES)


def test_that_property_is_of_candidates_that_would_pass():
    """Without a champion the same candidate passes: the property above is not true for another reason."""
    evidence = Evidence(evaluation=_assessed(6.0, 0), predictions=make_scores(separation=6.0, n=60), findings=FINDINGS)
    assert verdict_of(decide(evidence, make_gate(), FEW_SAMPLES, 0.5)) == "PASS"


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


@pytest.mark.parametrize("given_", [{}, {"predictions": Path("p"), "reason": "r"}])
def test_champion_evidence_is_predictions_or_a_reason(given_):
    with pytest.raises(ValueError, match="found both or neither"):
        ChampionEvidence(version=1, **given_)


def test_the_same_evidence_gives_the_same_decision(recipe, paths, tmp_path):
    model = evaluated(tmp_path, make_scores())
    first, second = (gate_candidate(model, recipe, None, paths) for _ in range(2))
    assert first == second

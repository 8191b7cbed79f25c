from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cxr_tasks.contracts.artifacts import ArtifactRef, read_json, write_json
from cxr_tasks.contracts.handoffs import EvaluatedModel, GateDecision
from cxr_tasks.contracts.paths import RunPaths
from cxr_tasks.contracts.recipes import Recipe, load_recipe
from cxr_tasks.contracts.specs import EvaluateSpec, GateSpec
from cxr_tasks.evaluate.assess import assess
from cxr_tasks.gate import ChampionEvidence, gate_candidate
from cxr_tasks.gate_rules import Evidence, evidence_rule

FINDINGS = ("pneumonia",)
SPEC = EvaluateSpec(bootstrap_samples=300)


def make_table(*, separation: float = 3.0, n: int = 300, seed: int = 0, noise: float = 0.0) -> pd.DataFrame:
    """Validation and test scores; the same seed gives the same images, targets and scores before ``noise``."""
    rng = np.random.default_rng(seed)
    target = (rng.random(2 * n) < 0.6).astype(float)
    logit = rng.normal(size=2 * n) + separation * target
    return pd.DataFrame(
        {
            "image_id": [f"{i:05d}.png" for i in range(2 * n)],
            "patient_key": [f"{i:016x}" for i in range(2 * n)],
            "split": ["validation"] * n + ["test"] * n,
            "source": "synthetic",
            "view": "pa",
            "sex": "unknown",
            "age_years": np.nan,
            "target_pneumonia": target,
            "logit_pneumonia": logit + noise * np.random.default_rng(99).normal(size=2 * n),
        }
    )


@pytest.fixture
def recipe() -> Recipe:
    return dataclasses.replace(load_recipe("synthetic_binary"), evaluate=SPEC, gate=GateSpec(auroc_floor=0.9))


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    return RunPaths(tmp_path / "run")


def evaluated(folder: Path, table: pd.DataFrame, change_metrics=None) -> EvaluatedModel:
    """An evaluation on disk, as ``evaluate_model`` leaves it; ``change_metrics`` edits metrics.json before hashing."""
    folder.mkdir(parents=True, exist_ok=True)
    metrics = assess(table, FINDINGS, SPEC)
    if change_metrics:
        change_metrics(metrics)
    table.to_parquet(folder / "predictions.parquet", index=False)
    write_json(folder / "metrics.json", metrics)
    return EvaluatedModel(
        model_name="cxr_binary",
        mlflow_run_id="0" * 32,
        predictions=ArtifactRef.of(folder / "predictions.parquet"),
        metrics=ArtifactRef.of(folder / "metrics.json"),
        test_auroc=None,
        test_auroc_lower=None,
        test_auroc_upper=None,
    )


def written(decision: GateDecision) -> dict:
    found = read_json(decision.decision.verified_path())
    assert found["verdict"] == decision.verdict
    assert tuple(found["reasons"]) == decision.reasons
    assert (decision.verdict == "PASS") == (not decision.reasons)
    return found


def outcomes(decision: GateDecision) -> dict[str, str]:
    return {rule["name"]: rule["outcome"] for rule in written(decision)["rules"]}


def test_a_good_first_model_passes_and_every_rule_is_written(recipe, paths, tmp_path):
    decision = gate_candidate(evaluated(tmp_path, make_table()), recipe, None, paths)
    assert outcomes(decision) == {
        "evidence": "PASS",
        "assessable": "PASS",
        "auroc_floor": "PASS",
        "sensitivity_floor": "PASS",
        "champion": "NOT_APPLICABLE",
    }
    assert decision.verdict == "PASS"
    assert decision.champion_version is None
    floor = next(rule for rule in written(decision)["rules"] if rule["name"] == "auroc_floor")
    assert floor["bound"] == 0.9 < floor["lower"] < floor["value"] < floor["upper"]
    assert "n = 300" in floor["sentence"]
    assert GateDecision.from_payload(json.loads(json.dumps(decision.to_payload()))) == decision


def test_the_lower_end_must_reach_the_floor_not_the_value(recipe, paths, tmp_path):
    """AUROC 0.92 with a lower end of 0.88 is no pass over a floor of 0.9."""
    model = evaluated(tmp_path, make_table(separation=2.0))
    decision = gate_candidate(model, recipe, None, paths)
    floor = next(rule for rule in written(decision)["rules"] if rule["name"] == "auroc_floor")
    assert floor["lower"] < 0.9 < floor["value"]
    assert outcomes(decision)["auroc_floor"] == "FAIL"
    assert decision.verdict == "FAIL"
    assert "below the floor of 0.9" in decision.reasons[0]


def test_the_smaller_of_delong_and_patient_bootstrap_counts(recipe, paths, tmp_path):
    """Ten images of each patient that are nearly alike: DeLong is too sure, the patient bootstrap is not."""
    table = make_table(n=40, seed=4)
    many = pd.concat([table.assign(image_id=table["image_id"] + f".{i}") for i in range(10)], ignore_index=True)
    decision = gate_candidate(evaluated(tmp_path, many), recipe, None, paths)
    records = assess(many, FINDINGS, SPEC)["mean"]["test"]
    floor = next(rule for rule in written(decision)["rules"] if rule["name"] == "auroc_floor")
    assert floor["lower"] == records[1]["lower"] < records[0]["lower"]


def remove(path: Path) -> None:
    path.unlink()


def append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" ")


@pytest.mark.parametrize("name", ["metrics", "predictions"])
@pytest.mark.parametrize(("damage", "said"), [(remove, "found none"), (append, "changed after it was written")])
def test_a_missing_or_changed_file_is_a_fail_with_its_name(recipe, paths, tmp_path, *, name, damage, said):
    model = evaluated(tmp_path, make_table())
    damage(Path(getattr(model, name).uri))
    decision = gate_candidate(model, recipe, None, paths)
    assert outcomes(decision) == {"evidence": "FAIL"}
    assert decision.verdict == "FAIL"
    assert name in decision.reasons[0]
    assert said in decision.reasons[0]


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "{}", '{"rows_sha256": 1}', '{"findings": "pneumonia"}'])
def test_metrics_that_say_nothing_are_a_fail(recipe, paths, tmp_path, content):
    model = evaluated(tmp_path, make_table())
    Path(model.metrics.uri).write_text(content)
    model = dataclasses.replace(model, metrics=ArtifactRef.of(Path(model.metrics.uri)))
    decision = gate_candidate(model, recipe, None, paths)
    assert decision.verdict == "FAIL"
    assert outcomes(decision) == {"evidence": "FAIL"}


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


@pytest.mark.parametrize(
    ("change", "rule", "said"),
    [
        (set_mean(value=None, lower=None, upper=None, reason="r"), "auroc_floor", "no test AUROC to judge: r"),
        (set_mean(lower=None), "auroc_floor", "missing or not a number"),
        (set_mean(lower="high"), "auroc_floor", "missing or not a number"),
        (set_mean(lower=True), "auroc_floor", "missing or not a number"),
        (raise_auroc, "evidence", "is stated as 0.999000"),  # better numbers than the predictions give
        (raise_mean_only, "evidence", "mean AUROC is stated as 0.999000"),
        (other_threshold, "evidence", "served threshold"),  # would be served otherwise than it was measured
        (lambda m: m.update(rows_sha256="f" * 64), "evidence", "test rows ffffffffffff"),
        (lambda m: m.update(findings=["hernia"]), "evidence", "metrics are of hernia"),
        (lambda m: m["mean"].pop("test"), "evidence", "does not hold what the gate reads"),
    ],
)
def test_numbers_that_cannot_be_relied_on_are_a_fail(recipe, paths, tmp_path, *, change, rule, said):
    decision = gate_candidate(evaluated(tmp_path, make_table(), change), recipe, None, paths)
    assert decision.verdict == "FAIL"
    assert outcomes(decision)[rule] == "FAIL"
    assert said in " ".join(decision.reasons)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_too_few_positives_are_a_fail_with_the_counts(recipe, paths, tmp_path, split):
    table = make_table()
    rows = table.index[table["split"] == split]
    table.loc[rows, "target_pneumonia"] = np.r_[np.ones(3), np.zeros(len(rows) - 3)]
    decision = gate_candidate(evaluated(tmp_path, table), recipe, None, paths)
    assert decision.verdict == "FAIL"
    assert outcomes(decision)["assessable"] == "FAIL"
    assert f"{split} holds 3 positive" in " ".join(decision.reasons)


def test_a_decision_that_misses_nearly_all_never_passes(recipe, paths, tmp_path):
    """Test positives score far below validation's: the order is kept (AUROC 0.98), the decision finds nothing."""
    table = make_table()
    table.loc[table["split"] == "test", "logit_pneumonia"] -= 8.0
    decision = gate_candidate(evaluated(tmp_path, table), recipe, None, paths)
    assert outcomes(decision)["auroc_floor"] == "PASS"
    assert outcomes(decision)["sensitivity_floor"] == "FAIL"
    assert decision.verdict == "FAIL"


def test_a_specificity_floor_applies_where_the_recipe_sets_one(recipe, paths, tmp_path):
    table = make_table()
    table.loc[table["split"] == "test", "logit_pneumonia"] += 8.0
    model = evaluated(tmp_path, table)
    assert gate_candidate(model, recipe, None, paths).verdict == "PASS"
    strict = dataclasses.replace(recipe, gate=dataclasses.replace(recipe.gate, specificity_floor=0.3))
    decision = gate_candidate(model, strict, None, paths)
    assert outcomes(decision)["specificity_floor"] == "FAIL"


def champion(tmp_path: Path, table: pd.DataFrame) -> ChampionEvidence:
    path = tmp_path / "champion.parquet"
    table[table["split"] == "test"].to_parquet(path, index=False)
    return ChampionEvidence(version=7, predictions=path)


@pytest.mark.parametrize(
    ("candidate_noise", "champion_noise", "outcome"),
    [
        (0.0, 0.0, "PASS"),  # the same model again: not worse
        (0.0, 3.0, "PASS"),  # clearly better
        (3.0, 0.0, "FAIL"),  # clearly worse
        (0.3, 0.0, "FAIL"),  # a little worse: it cannot be shown to be within the margin
    ],
)
def test_the_candidate_must_not_be_worse_than_the_champion(
    recipe, paths, tmp_path, *, candidate_noise, champion_noise, outcome
):
    model = evaluated(tmp_path, make_table(noise=candidate_noise))
    evidence = champion(tmp_path, make_table(noise=champion_noise))
    lenient = dataclasses.replace(recipe, gate=dataclasses.replace(recipe.gate, auroc_floor=0.5))
    decision = gate_candidate(model, lenient, evidence, paths)
    assert outcomes(decision)["champion"] == outcome
    assert decision.champion_version == written(decision)["champion_version"] == 7
    rule = written(decision)["rules"][-1]
    assert rule["bound"] == -0.005
    assert (rule["lower"] > rule["bound"]) == (outcome == "PASS")


def test_a_wider_margin_lets_a_little_worse_pass(recipe, paths, tmp_path):
    wide = dataclasses.replace(recipe, gate=dataclasses.replace(recipe.gate, champion_margin=0.05))
    model = evaluated(tmp_path, make_table(noise=0.3))
    assert gate_candidate(model, wide, champion(tmp_path, make_table()), paths).verdict == "PASS"


def test_a_champion_on_other_rows_cannot_be_compared(recipe, paths, tmp_path):
    other = make_table()
    other.loc[other.index[-1], "target_pneumonia"] = 1 - other.loc[other.index[-1], "target_pneumonia"]
    decision = gate_candidate(evaluated(tmp_path, make_table()), recipe, champion(tmp_path, other), paths)
    assert decision.verdict == "FAIL"
    assert "cannot be compared with champion version 7: it was scored on other test rows" in decision.reasons[0]


@pytest.mark.parametrize(
    ("evidence", "said"),
    [
        (ChampionEvidence(version=7, reason="its model file is gone"), "version 7: its model file is gone"),
        (ChampionEvidence(version=7, predictions=Path("/nonexistent/p.parquet")), "expected a Parquet file"),
    ],
)
def test_a_champion_that_could_not_be_scored_is_no_pass(recipe, paths, tmp_path, evidence, said):
    decision = gate_candidate(evaluated(tmp_path, make_table()), recipe, evidence, paths)
    assert decision.verdict == "FAIL"
    assert outcomes(decision)["champion"] == "FAIL"
    assert said in decision.reasons[0]


@pytest.mark.parametrize("given", [{}, {"predictions": Path("p"), "reason": "r"}])
def test_champion_evidence_is_predictions_or_a_reason(given):
    with pytest.raises(ValueError, match="found both or neither"):
        ChampionEvidence(version=1, **given)


def test_the_same_evidence_gives_the_same_decision(recipe, paths, tmp_path):
    model = evaluated(tmp_path, make_table())
    first, second = (gate_candidate(model, recipe, None, paths) for _ in range(2))
    assert first == second


def test_other_means_beside_the_auroc_are_no_contradiction():
    """With several findings the means hold average precision and prevalence too; the gate checks the AUROCs alone."""
    findings = ("mass", "nodule")
    table = make_table()
    for number, finding in enumerate(findings):
        other = make_table(seed=number)
        table[[f"target_{finding}", f"logit_{finding}"]] = other[["target_pneumonia", "logit_pneumonia"]]
    metrics = assess(table, findings, SPEC)
    evidence = Evidence(metrics=metrics, predictions=table, findings=findings)
    assert evidence_rule(evidence).outcome == "PASS"
    metrics["mean"]["test"][1]["value"] -= 0.01
    assert "mean AUROC is stated as" in evidence_rule(evidence).sentence

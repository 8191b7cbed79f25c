"""An evaluation on disk, and what the gate wrote of it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cxr_tasks.contracts.handoffs.judgement import EvaluatedModel, GateDecision
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.assess import assess
from cxr_tasks.installation.storage.files import read_json, reference_to, verified_path, write_json

FINDINGS = ("pneumonia",)
SPEC = EvaluateSpec(bootstrap_samples=300)


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

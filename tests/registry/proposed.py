"""Versions as a passed gate leaves them: run, decision, tags, alias and audit entries, without a model in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cxr_tasks.contracts.policies import load_policy, without_none
from cxr_tasks.contracts.shapes import plain
from cxr_tasks.installation.storage.files import sha256_file, write_json
from cxr_tasks.registry import tracking, versions
from cxr_tasks.registry.audit import trail

MODEL = "cxr_binary"

RULES: list[dict[str, Any]] = [
    {
        "name": "auroc_floor",
        "outcome": "PASS",
        "sentence": "Test AUROC is 0.9700 (0.9500 to 0.9800): the lower end is at or above the floor of 0.8.",
        "value": 0.97,
        "lower": 0.95,
        "upper": 0.98,
        "bound": 0.8,
    },
    {"name": "champion", "outcome": "NOT_APPLICABLE", "sentence": "There is no champion yet to compare with."},
]


def todays_policy(dataset: str = "made") -> dict[str, Any]:
    """What a decision says of the policy, as the gate would write it today."""
    policy = load_policy(MODEL)
    section, asked = policy.section_for(dataset)
    return {
        "policy": policy.name, "policy_version": policy.version, "policy_sha256": policy.sha256,
        "policy_section": section, "asked": without_none(plain(asked)), "dataset": dataset,
    }  # fmt: skip


def propose(client: Any, work: Path, *, verdict: str = "PASS", **changed: Any) -> int:
    """The number of a new version; ``changed`` are entries of its ``decision.json``."""
    run = client.create_run(tracking.experiment_id(client, MODEL))
    decision = {
        "model_name": MODEL, "verdict": verdict, "rules": RULES, "champion_version": None, **todays_policy(), **changed,
    }  # fmt: skip
    path = work / "decision.json"
    write_json(path, {**decision, "mlflow_run_id": run.info.run_id})
    client.log_artifact(run.info.run_id, str(path), "gate")
    told = {"verdict": verdict, "decision_sha256": sha256_file(path), "mlflow_run_id": run.info.run_id}
    if decision.get("gate_floor"):
        told["gate_floor"] = decision["gate_floor"]
    trail.record("verdict", model=MODEL, version=None, who="airflow", detail=told)
    tags = {
        "gate.verdict": verdict,
        "gate.policy": f"{MODEL} {decision['policy_version']}",
        "gate.policy_sha256": decision["policy_sha256"],
        "gate.decision_sha256": told["decision_sha256"],
        "data.name": "made",
        "data.fingerprint": "ef" * 32,
        "recipe.name": "synthetic_binary",
        "test_auroc": "0.9700",
        "test_auroc_lower": "0.9500",
        "test_auroc_upper": "0.9800",
    }
    made = client.create_model_version(MODEL, source=run.info.artifact_uri, run_id=run.info.run_id, tags=tags)
    number = int(made.version)
    trail.record("registered", model=MODEL, version=number, who="airflow", detail=told)
    if verdict == "PASS":
        versions.set_alias(MODEL, versions.CHALLENGER, number)
    return number


def champion() -> int | None:
    """The version with alias ``champion``."""
    found = versions.version_with_alias(MODEL, versions.CHAMPION)
    return None if found is None else int(found.version)

"""What a followed run has led to: the table at its end, and the same facts as JSON."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.table import Table

from cxr_tasks.cli.airflow_api import AirflowApi
from cxr_tasks.cli.follow import Progress
from cxr_tasks.contracts.artifacts import read_json
from cxr_tasks.contracts.handoffs import (
    EvaluatedModel,
    GateDecision,
    IngestedStudies,
    PreparedDataset,
    RegisteredModel,
    Report,
    ValidatedStudies,
)
from cxr_tasks.stack.settings import StackSettings
from serving.rest_client import served_versions


def outcome_of(api: AirflowApi, progress: Progress, settings: StackSettings) -> dict[str, Any]:
    """The facts of an ended run, read from what its tasks handed on and from the model server itself."""

    def handed_on(dag_prefix: str, task_id: str) -> Any:
        task = progress.task(dag_prefix, task_id)
        return api.xcom(task) if task is not None and task.state == "success" else None

    collected, validated = (handed_on("cxr_dataset_", one) for one in ("collect", "validate"))
    dataset = _dataset_facts(
        IngestedStudies.from_payload(collected),
        ValidatedStudies.from_payload(validated),
        PreparedDataset.from_payload(handed_on("cxr_dataset_", "verify")),
    )
    evaluated = EvaluatedModel.from_payload(handed_on("cxr_train_", "evaluate"))
    decision = GateDecision.from_payload(handed_on("cxr_train_", "gate"))
    facts = {"dataset": dataset, **_model_facts(evaluated, decision, settings)}
    if not progress.refused:
        facts["version"] = RegisteredModel.from_payload(handed_on("cxr_train_", "promote")).version
        facts["report"] = _report_page(api, progress, evaluated.model_name)
    return {**facts, "seconds_per_stage": progress.seconds_per_stage()}


def _report_page(api: AirflowApi, progress: Progress, model_name: str) -> str | None:
    """The page of this model; one run may write those of several."""
    task = progress.task("cxr_report", "report")
    if task is None or task.state != "success":
        return None
    written = [Report.from_payload(api.xcom(replace(task, map_index=place))) for place in range(task.n_mapped)]
    return next((one.page.uri for one in written if one.model_name == model_name), None)


def _dataset_facts(ingested: IngestedStudies, validated: ValidatedStudies, prepared: PreparedDataset) -> dict[str, Any]:
    return {
        "name": prepared.dataset,
        "fingerprint": prepared.fingerprint,
        "folder": prepared.folder,
        "n_images": ingested.n_images,
        "n_patients": ingested.n_patients,
        "n_quarantined": ingested.n_quarantined,
        "n_expectations": validated.n_expectations,
        "n_warnings": validated.n_warnings,
    }


def _model_facts(evaluated: EvaluatedModel, decision: GateDecision, settings: StackSettings) -> dict[str, Any]:
    return {
        "model": evaluated.model_name,
        "version": None,
        "test_auroc": evaluated.test_auroc,
        "test_auroc_lower": evaluated.test_auroc_lower,
        "test_auroc_upper": evaluated.test_auroc_upper,
        "gate_verdict": decision.verdict,
        "gate_reasons": list(decision.reasons),
        "served_version": max(served_versions(settings, evaluated.model_name), default=None),
        "report": None,
        "mlflow_run_id": evaluated.mlflow_run_id,
        "n_test": _test_rows(evaluated),
    }


def print_outcome(console: Console, facts: dict[str, Any]) -> None:
    table = Table(title="Outcome", title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim")
    table.add_column()
    data = facts["dataset"]
    table.add_row("dataset", f"{data['name']} {data['fingerprint'][:16]}")
    table.add_row(
        "", f"{data['n_images']:,} images, {data['n_patients']:,} patients, {data['n_quarantined']} quarantined"
    )
    table.add_row("", f"{data['n_expectations']} expectations, {data['n_warnings']} warnings")
    table.add_row("model", f"{facts['model']} version {facts['version'] or '(none registered)'}")
    table.add_row("test AUROC", _with_interval(facts))
    table.add_row("gate", facts["gate_verdict"])
    for reason in facts["gate_reasons"]:
        table.add_row("", reason)
    table.add_row("served version", str(facts["served_version"] or "none"))
    table.add_row("report", facts["report"] or "none")
    console.print(table)
    stages = Table(title="Seconds per stage", title_justify="left", show_header=False, box=None, pad_edge=False)
    stages.add_column(style="dim")
    stages.add_column(justify="right")
    for name, seconds in facts["seconds_per_stage"].items():
        stages.add_row(name, f"{seconds:.1f}")
    console.print(stages)


def _with_interval(facts: dict[str, Any]) -> str:
    if facts["test_auroc"] is None:
        return "not assessable"
    interval = f"95 % interval {facts['test_auroc_lower']:.4f} to {facts['test_auroc_upper']:.4f}"
    return f"{facts['test_auroc']:.4f} ({interval}, n = {facts['n_test']})"


def _test_rows(evaluated: EvaluatedModel) -> int | None:
    """Number of test images behind the AUROC, as ``metrics.json`` has it."""
    return read_json(evaluated.metrics.verified_path())["splits"]["test"]["n_images"]

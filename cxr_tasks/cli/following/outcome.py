"""What a followed run has led to: the table at its end, and the same facts as JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from cxr_tasks.cli.following.followed_run import Progress
from cxr_tasks.contracts.handoffs.dataset import IngestedStudies, PreparedDataset, ValidatedStudies
from cxr_tasks.contracts.handoffs.judgement import EvaluatedModel, GateDecision, marked_verdict
from cxr_tasks.contracts.handoffs.release import RegisteredModel
from cxr_tasks.contracts.metrics import record_of
from cxr_tasks.evaluate.evaluation_file import read_evaluation
from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.installation.storage.paths import report_path
from cxr_tasks.worklist.airflow_api import AirflowApi
from serving.client.running import labelled_version
from serving.served.models_config import STABLE


def outcome_of(api: AirflowApi, progress: Progress, settings: StackSettings) -> dict[str, Any]:
    """The facts of an ended run, read from what its tasks handed on and from the model server itself."""

    def handed_on(dag_prefix: str, task_id: str) -> Any:
        task = progress.task(dag_prefix, task_id)
        return api.xcom(task) if task is not None and task.state == "success" else None

    collected, validated = (handed_on("cxr_dataset_", task) for task in ("collect", "validate"))
    dataset = _dataset_facts(
        IngestedStudies.from_payload(collected),
        ValidatedStudies.from_payload(validated),
        PreparedDataset.from_payload(handed_on("cxr_dataset_", "verify")),
    )
    evaluated = EvaluatedModel.from_payload(handed_on("cxr_train_", "evaluate"))
    decision = GateDecision.from_payload(handed_on("cxr_train_", "gate"))
    facts = {"dataset": dataset, **_model_facts(evaluated, decision, settings)}
    registered = handed_on("cxr_train_", "register")
    if registered is not None:
        facts["version"] = RegisteredModel.from_payload(registered).version
        facts["is_approved"] = progress.champion is not None
        page = report_path(evaluated.model_name, facts["version"])
        facts["report"] = str(page) if page.is_file() else None
    return {
        **facts,
        "seconds": round(progress.ended_after_s, 1) if progress.ended_after_s is not None else None,
        "seconds_per_stage": progress.seconds_per_stage(),
    }


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
    evaluation = read_evaluation(evaluated)
    return {
        "model": evaluated.model_name,
        "version": None,
        "is_approved": False,
        "test_auroc": evaluated.test_auroc,
        "test_auroc_lower": evaluated.test_auroc_lower,
        "test_auroc_upper": evaluated.test_auroc_upper,
        "gate_verdict": decision.verdict,
        "gate_floor": decision.gate_floor,
        "gate_reasons": list(decision.reasons),
        "served_version": labelled_version(settings, evaluated.model_name, STABLE),
        "report": None,
        "mlflow_run_id": evaluated.mlflow_run_id,
        "n_test": evaluation.splits["test"].n_images,
        "test_auroc_method": record_of(evaluation.mean["test"], "auroc").method,
    }


def print_outcomes(console: Console, outcomes: Sequence[dict[str, Any]]) -> None:
    """One table of all ``outcomes`` with a column for each, then the paths, which are long."""
    table = Table(title="Outcome", title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", style="dim")
    for facts in outcomes:
        table.add_column(facts["model"])
    for label, cell in _ROWS.items():
        table.add_row(label, *(cell(facts) for facts in outcomes))
    table.add_section()
    stages = dict.fromkeys(label for facts in outcomes for label in facts["seconds_per_stage"])
    for label in stages:
        table.add_row(f"{label} (s)", *(_seconds(facts["seconds_per_stage"].get(label)) for facts in outcomes))
    table.add_row("first to last (s)", *(_seconds(facts["seconds"]) for facts in outcomes))
    console.print(table)
    for facts in outcomes:
        console.print(f"report of {facts['model']}: {facts['report'] or 'none'}", soft_wrap=True)


def _test_auroc(facts: dict[str, Any]) -> str:
    if facts["test_auroc"] is None:
        return "not assessable"
    value, lower, upper = (f"{facts[key]:.4f}" for key in ("test_auroc", "test_auroc_lower", "test_auroc_upper"))
    return f"{value} ({lower} to {upper}, n {facts['n_test']})"


def _data(facts: dict[str, Any]) -> str:
    data = facts["dataset"]
    return f"{data['n_images']:,} images, {data['n_patients']:,} patients, {data['n_quarantined']} quarantined"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


#: Label of a row -> what stands in it, for one outcome.
_ROWS: dict[str, Callable[[dict[str, Any]], str]] = {
    "version": lambda facts: str(facts["version"] or "none registered"),
    "test AUROC (95 % interval)": _test_auroc,
    "": lambda facts: facts["test_auroc_method"],
    "gate": lambda facts: " ".join(
        [marked_verdict(facts["gate_verdict"], facts.get("gate_floor")), *facts["gate_reasons"]]
    ),
    "approved": lambda facts: "yes" if facts["is_approved"] else "no",
    "served version": lambda facts: str(facts["served_version"] or "none"),
    "dataset": lambda facts: f"{facts['dataset']['name']} {facts['dataset']['fingerprint'][:16]}",
    "data": _data,
    "expectations": lambda facts: f"{facts['dataset']['n_expectations']}, {facts['dataset']['n_warnings']} warnings",
}

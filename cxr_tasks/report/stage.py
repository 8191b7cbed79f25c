"""The report of a registered version, made from what its MLflow run and its prepared dataset hold."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from cxr_tasks.contracts.handoffs.judgement import EvaluatedModel
from cxr_tasks.contracts.handoffs.release import RegisteredModel, Report
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.datasets.latest import dataset_of
from cxr_tasks.installation.software import git_commit
from cxr_tasks.installation.storage.files import read_json, write_json
from cxr_tasks.installation.storage.paths import RunPaths, relocated, report_path, reports_root
from cxr_tasks.installation.storage.space import MIB, room_for
from cxr_tasks.registry import tracking, version_files, versions
from cxr_tasks.registry.addresses import mlflow_run_page
from cxr_tasks.registry.overrides import overrides_of
from cxr_tasks.registry.run_files import fetch_run_files
from cxr_tasks.registry.run_log import RunLog

#: Where the page stands among the artifacts of the model's MLflow run.
ARTIFACT_FOLDER = "report"


#: Beside a report: which run it is about. A version number may come again.
ABOUT_FILE = "about.json"


def has_report(registered: RegisteredModel) -> bool:
    """Whether this very version has a report; one of another run under the same number is none."""
    page = report_path(registered.model_name, registered.version)
    about = page.parent / ABOUT_FILE
    if not page.is_file():
        return False
    if about.is_file():
        return read_json(about).get("mlflow_run_id") == registered.mlflow_run_id
    # Written before that was kept: the page names its run.
    return registered.mlflow_run_id in page.read_text(encoding="utf-8", errors="replace")


@room_for("writing the report", 64 * MIB)
def report_on(registered: RegisteredModel, paths: RunPaths) -> Report:
    """Explain and describe a version on one page; the page under ``reports_root()`` and on its MLflow run.

    Written again, it replaces the earlier page of the same version.

    Raises:
        DataDefect: A file of the training run, or its prepared dataset, is missing or not what it was.
    """
    from cxr_tasks.evaluate.evaluation_file import read_evaluation_file
    from cxr_tasks.evaluate.predictions_of_run import predictions_of_run
    from cxr_tasks.explain.stage import explain_model
    from cxr_tasks.report.material import ReportInputs
    from cxr_tasks.report.writing import write_index, write_report

    work = paths.stage(f"report/{registered.model_name}")
    version = version_files.load_version(registered.model_name, registered.version, work / "model")
    files = fetch_run_files(registered.mlflow_run_id, work / "run")
    recipe_dict = yaml.safe_load((files / "recipe.yaml").read_text(encoding="utf-8"))
    recipe = Recipe.from_dict(recipe_dict, "recipe.yaml")
    evaluated = EvaluatedModel.from_payload(read_json(files / "evaluation" / "evaluated.json"))
    evaluation = read_evaluation_file(files / "evaluation" / "metrics.json")
    prepared = dataset_of(version.contract.dataset, version.contract.dataset_fingerprint)
    predictions = predictions_of_run(
        files / "evaluation", evaluated, prepared, evaluation.rows_sha256, recipe.findings, work / "predictions.parquet"
    )
    explanations = explain_model(
        version.model_path, predictions, evaluation, prepared, recipe.findings, folder=work / "examples"
    )
    trained = tracking.client().get_run(registered.mlflow_run_id).data.metrics
    run_page = mlflow_run_page(registered.mlflow_run_id)
    inputs = ReportInputs(
        model_name=registered.model_name,
        version=registered.version,
        generated_at=datetime.now(UTC),
        evaluation=evaluation,
        predictions=predictions,
        recipe=recipe_dict,
        recipe_sha256=recipe.sha256,
        statistics=read_json(relocated(prepared.folder) / "statistics.json"),
        fingerprint=prepared.fingerprint,
        history=read_json(files / "history.json"),
        best_epoch=int(trained["best_epoch"]),
        train_seconds=trained["train_seconds"],
        provenance=read_json(Path(prepared.folder) / "provenance.json"),
        environment=_optional(files / "environment.json") or {},
        decision=_optional(files / "gate" / "decision.json"),
        overrides=overrides_of(versions.version_tags(registered.model_name, registered.version)),
        explanations=explanations,
        release=_release_facts(_optional(files / "release" / "parity.json")),
        links={"MLflow run": run_page} if run_page else {},
        git_commit=git_commit(),
    )
    folder = report_path(registered.model_name, registered.version).parent
    page = write_report(inputs, folder)
    write_json(folder / ABOUT_FILE, {"mlflow_run_id": registered.mlflow_run_id})
    write_index(reports_root())
    with tracking.outside_failures("MLflow"):
        RunLog(tracking.client(), registered.mlflow_run_id).artifact(folder / "index.html", ARTIFACT_FOLDER)
        versions.set_version_tags(registered.model_name, registered.version, {"report.sha256": page.sha256})
    report = Report(model_name=registered.model_name, version=registered.version, page=page)
    write_json(work / "report.json", report.to_payload())
    return report


def _optional(path: Path) -> Any:
    return read_json(path) if path.is_file() else None


def _release_facts(parity: dict[str, Any] | None) -> dict[str, Any]:
    """What the release check measured, in words for the page."""
    if parity is None:
        return {}
    # Releases from before two versions were timed side by side have one number.
    latency = parity.get("latency") or {"median_ms": parity["median_latency_ms"]}
    former = latency.get("former_median_ms")
    # So have those from before there was a choice.
    chosen = parity.get("precision")
    arithmetic = {"Arithmetic": f"{chosen['precision']}: {chosen['why']}"} if chosen else {}
    beside = f"; version {latency['former_version']}: {former:.1f} ms" if former is not None else ""
    return {
        "Served version": parity["version"],
        "Images sent to a model server before release": parity["n_images"],
        "Largest difference to the registered model": f"{parity['largest_difference']:.1e}",
        "Bound": f"{parity['tolerance']:.0e}",
        **arithmetic,
        "Median answer for one image": f"{latency['median_ms']:.1f} ms{beside}",
    }

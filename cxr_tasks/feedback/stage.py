"""Stage feedback: take in labels of served images, and measure what a version is worth on them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from cxr_tasks.contracts.handoffs import RegisteredModel
from cxr_tasks.contracts.shapes import plain
from cxr_tasks.feedback.labels import all_labels, keep_labels, read_labels
from cxr_tasks.feedback.live import LiveFinding, image_of_each, live_findings
from cxr_tasks.installation.storage.files import write_json
from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.installation.storage.space import MIB, room_for
from cxr_tasks.monitor.record import version_folder
from cxr_tasks.monitor.reference import Reference, load_reference
from cxr_tasks.monitor.window import served_rows

LIVE_FILE = "live.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """What came of one table of labels, and of all labels of the version so far."""

    model_name: str
    version: int
    n_new: int
    findings: tuple[LiveFinding, ...]
    path: str
    """``live.json``."""
    n_not_served: int = 0
    """Labels of pictures that this version was not asked for, or of requests with several; none of them is counted."""


@room_for("taking in labels", 4 * MIB)
def take_feedback(registered: RegisteredModel, table: Path | None, paths: RunPaths) -> Feedback:
    """Keep the labels of ``table`` (None: no new ones) and measure ``registered`` on all that are in force.

    The numbers go to ``live.json`` and, as ``live_<name>_<finding>``, to the version's MLflow run.

    Raises:
        DataDefect: The table is not one of labels; none of it is kept then. Or a file of the version is missing.
    """
    reference, _ = load_reference(registered.model_name, registered.version, paths.stage("feedback"))
    n_new = 0
    if table is not None:
        labels = read_labels(table, reference.findings, datetime.now(UTC))
        n_new = keep_labels(registered.model_name, labels)
    feedback = measure(registered, reference, n_new)
    _log_to_mlflow(registered, feedback)
    return feedback


def measure(registered: RegisteredModel, reference: Reference, n_new: int = 0) -> Feedback:
    """The version on all labels in force; without MLflow."""
    model, version = registered.model_name, registered.version
    served = served_rows(model, version, date.min, date.max)
    labels = all_labels(model)
    findings = tuple(live_findings(served, labels, reference)) if len(served.rows) else ()
    is_served = image_of_each(served, labels).isin(served.rows["pixel_hash"] if len(served.rows) else [])
    path = version_folder(model, version, registered.mlflow_run_id) / LIVE_FILE
    feedback = Feedback(
        model_name=model, version=version, n_new=n_new, findings=findings, path=str(path),
        n_not_served=int((~is_served).sum()),
    )  # fmt: skip
    write_json(path, plain(feedback))
    return feedback


def table_of(feedback: Feedback) -> list[dict[str, str]]:
    """A row per number, as people read it."""
    return [
        {
            "finding": one.finding,
            "number": number.name,
            "n": str(number.n),
            "live (95 %)": _shown(number.value, number.lower, number.upper),
            "promised (95 %)": _shown(number.promised, number.promised_lower, number.promised_upper),
            "difference": _shown(number.difference, number.difference_lower, number.difference_upper),
            "found": number.found,
            "labels missing": str(number.n_missing or ""),
        }
        for one in feedback.findings
        for number in one.numbers
    ]


def selection_words(one: LiveFinding) -> str:
    """Whose labels came back, compared with all that was served."""
    doubt = "; the labels are a selection, and the numbers hold for it alone" if one.selection_p < 0.05 else ""
    return (
        f"{one.finding}: labels of {one.n_labelled} of {one.n_served} served images ({one.n_positive} positive); the "
        f"model called {one.share_called_labelled:.0%} of the labelled and {one.share_called_served:.0%} of all"
        f" (scores alike with p = {one.selection_p:.2g}{doubt})"
    )


def not_served_words(feedback: Feedback) -> str:
    """How many labels tell nothing of the version; empty where all do."""
    if not feedback.n_not_served:
        return ""
    return (
        f"{feedback.n_not_served} labels are of pictures that version {feedback.version} was not asked for by the log, "
        "or of requests with several pictures; they are kept and not counted"
    )


def _shown(value: float | None, lower: float | None, upper: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if lower is None or upper is None else f"{value:.3f} ({lower:.3f} to {upper:.3f})"


def _log_to_mlflow(registered: RegisteredModel, feedback: Feedback) -> None:
    from cxr_tasks.registry import tracking

    values = {
        f"live_{number.name}_{one.finding}": number.value
        for one in feedback.findings
        for number in one.numbers
        if number.value is not None
    }
    if values:
        with tracking.outside_failures("MLflow"):
            run = tracking.RunLog(tracking.client(), registered.mlflow_run_id)
            run.metrics(values, step=datetime.now(UTC).date().toordinal())

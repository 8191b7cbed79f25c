"""Stage feedback: take in labels of served images, and measure what a version is worth on them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.handoffs.release import RegisteredModel
from cxr_tasks.contracts.shapes import plain
from cxr_tasks.feedback.known_splits import splits_of_version
from cxr_tasks.feedback.labels import read_labels
from cxr_tasks.feedback.live import LiveFinding, image_of_each, live_findings
from cxr_tasks.images.files_below import image_files
from cxr_tasks.installation.storage.files import write_json
from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.installation.storage.space import MIB, room_for
from cxr_tasks.labels.images import keep_images, kept_images
from cxr_tasks.labels.store import all_labels, keep_labels, labels_of_images
from cxr_tasks.monitor.page import write_version_page
from cxr_tasks.monitor.record import LIVE_FILE, read_state, version_folder
from cxr_tasks.monitor.reference import Reference, load_reference
from cxr_tasks.monitor.window import served_rows

log = logging.getLogger(__name__)

#: In place of a folder: the requests that the embedded server recorded (``CXR_REQUEST_LOG``).
RECORDED = "recorded"


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
    n_images: int = 0
    """Of the labelled images that are kept, to train on or to calibrate by."""
    recipe: str = ""
    """That the version was trained by."""

    @property
    def calibration_only(self) -> tuple[str, ...]:
        """Findings of which the ranking holds and the probabilities do not."""
        return tuple(finding.finding for finding in self.findings if finding.calibration_only)


@room_for("taking in labels", 4 * MIB)
def take_feedback(
    registered: RegisteredModel, table: Path | None, paths: RunPaths, images: str | None = None
) -> Feedback:
    """Keep the labels of ``table`` (None: no new ones) and measure ``registered`` on all that are in force.

    Args:
        images: Keep the labelled ones out of this folder, or out of the recorded requests (``RECORDED``); None: none.

    The numbers go to ``live.json`` and, as ``live_<name>_<finding>``, to the version's MLflow run.

    Raises:
        DataDefect: The table is not one of labels; none of it is kept then. Or a file of the version is missing.
    """
    reference, _ = load_reference(registered.model_name, registered.version, paths.stage("feedback"))
    n_new = 0
    if table is not None:
        split_of = splits_of_version(registered, paths.stage("feedback"))
        labels = read_labels(table, reference.findings, datetime.now(UTC), split_of)
        n_new = keep_labels(registered.model_name, labels)
    if images is not None:
        wanted = set(labels_of_images(registered.model_name)["image"])
        n_kept = keep_images(registered.model_name, _images_of(registered.model_name, images), wanted)
        log.info("%d labelled images are kept from %s", n_kept, images)
    feedback = measure(registered, reference, n_new)
    feedback = replace(feedback, recipe=_recipe_of(registered), n_images=len(kept_images(registered.model_name)))
    _log_to_mlflow(registered, feedback)
    return feedback


def recalibration_of(feedback: Feedback) -> dict[str, Any]:
    """The form of ``cxr_dataset_<family>`` by which the version is calibrated anew on what came back.

    The same way as every version: dataset, evaluation on patients that nothing was fitted on, gate, a person.

    Raises:
        ConfigurationError: No finding's calibration alone is off, or no labelled image is kept.
    """
    if not feedback.calibration_only:
        raise ConfigurationError(nothing_to_recalibrate(feedback))
    if not feedback.n_images:
        raise ConfigurationError(
            f"{feedback.model_name} version {feedback.version}: expected labelled images, found none kept; name a "
            f"folder that has them, or '{RECORDED}' for the requests that CXR_REQUEST_LOG recorded"
        )
    return {"recipe": feedback.recipe, "feedback": True, "recalibrate": feedback.version}


def nothing_to_recalibrate(feedback: Feedback) -> str:
    """Why a version is not calibrated anew where no finding's calibration alone is off: a result, not a fault."""
    return (
        f"{feedback.model_name} version {feedback.version}: no finding ranks as promised with probabilities that are "
        "off; nothing is calibrated anew. Where the ranking is worse, train again; where labels are too few, send more"
    )


def _images_of(model: str, images: str) -> Iterator[bytes]:
    """The images of a folder, DICOM files as the client sends them, or of the recorded requests."""
    from serving.client import ImageRefused
    from serving.client.image_bytes import image_bytes
    from serving.compare.asked_images import recorded_images

    if images == RECORDED:
        yield from recorded_images(model, sys.maxsize)
        return
    folder, n_refused = Path(images), 0
    if not folder.is_dir():
        raise ConfigurationError(f"{images}: expected a folder with images, or '{RECORDED}', found neither")
    for path in image_files(folder):
        try:
            yield image_bytes(path)
        except ImageRefused:
            n_refused += 1
    if n_refused:
        log.warning("%d files of %s cannot be read as images and are passed over", n_refused, folder)


def _recipe_of(registered: RegisteredModel) -> str:
    from cxr_tasks.registry.versions import version_tags

    return version_tags(registered.model_name, registered.version).get("recipe.name", "")


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
    write_version_page(read_state(model, version, registered.mlflow_run_id), path.parent)
    return feedback


def table_of(feedback: Feedback) -> list[dict[str, str]]:
    """A row per number, as people read it."""
    return [
        {
            "finding": finding.finding,
            "number": number.name,
            "n": str(number.n),
            "live (95 %)": _shown(number.value, number.lower, number.upper),
            "promised (95 %)": _shown(number.promised, number.promised_lower, number.promised_upper),
            "difference": _shown(number.difference, number.difference_lower, number.difference_upper),
            "found": number.found,
            "labels missing": str(number.n_missing or ""),
        }
        for finding in feedback.findings
        for number in finding.numbers
    ]


def selection_words(finding: LiveFinding) -> str:
    """Whose labels came back, compared with all that was served."""
    doubt = "; the labels are a selection, and the numbers hold for it alone" if finding.selection_p < 0.05 else ""
    return (
        f"{finding.finding}: labels of {finding.n_labelled} of {finding.n_served} served images "
        f"({finding.n_positive} positive); the model called {finding.share_called_labelled:.0%} of the labelled and "
        f"{finding.share_called_served:.0%} of all (scores alike with p = {finding.selection_p:.2g}{doubt})"
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
    from cxr_tasks.registry.run_log import RunLog

    values = {
        f"live_{number.name}_{finding.finding}": number.value
        for finding in feedback.findings
        for number in finding.numbers
        if number.value is not None
    }
    if values:
        with tracking.outside_failures("MLflow"):
            run = RunLog(tracking.client(), registered.mlflow_run_id)
            run.metrics(values, step=datetime.now(UTC).date().toordinal())

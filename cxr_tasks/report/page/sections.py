"""The parts of a report as plain rows and sentences, ready for the template; nothing here knows HTML."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cxr_tasks.contracts.dataset_files import SplitStatistics
from cxr_tasks.contracts.evaluation.groups import SubgroupRow
from cxr_tasks.contracts.evaluation.of_finding import MEASURED_SPLITS, OperatingPoint
from cxr_tasks.contracts.labels import SPLITS, display_name
from cxr_tasks.contracts.metrics import DECISION_METRICS, FINDING_METRICS, MetricRecord, by_name, record_of
from cxr_tasks.evaluate.subgroups import turned
from cxr_tasks.explain.chosen_images import KINDS
from cxr_tasks.explain.stage import Example
from cxr_tasks.report.material import ReportInputs
from cxr_tasks.report.training_facts import training_facts

METRIC_NAMES = {**FINDING_METRICS, **DECISION_METRICS}
POINT_NAMES = {
    "youden": "Youden (sensitivity + specificity)",
    "best_f1": "Best F1",
    "target_sensitivity": "Target sensitivity",
    "target_ppv": "Target PPV",
    "own": "The model's own",
}
KIND_NAMES = {
    "true_positive": ("True positives", "the finding is there and the model says so"),
    "false_positive": ("False positives", "the model calls a finding that the label does not have"),
    "false_negative": ("False negatives", "the finding is there and the model misses it"),
    "true_negative": ("True negatives", "no finding, and the model says so"),
}
SUBGROUP_NAMES = {
    "age_years": "Age (years)",
    "sub_label": "Finer label",
    "sex": "Sex",
    "view": "View",
    "source": "Source",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRow:
    """One split of the prepared dataset; counts are None where the dataset's statistics have none."""

    split: str
    n_images: int | None
    n_patients: int | None
    classes: Mapping[str, Mapping[str, Any]]
    """Display name of a finding -> state -> images."""
    finer: str
    """Finer labels with their images, in words."""


def data_rows(inputs: ReportInputs) -> list[DataRow]:
    """Per split: images, patients, and images by class of each finding."""
    rows = []
    for split in SPLITS:
        of_split = inputs.statistics.get(split, SplitStatistics())
        classes: dict[str, Mapping[str, Any]] = {
            display_name(finding): of_split.get("labels", {}).get(finding, {}) for finding in inputs.evaluation.findings
        }
        finer = {name: n for name, n in of_split.get("sub_label", {}).items() if name}
        rows.append(
            DataRow(
                split=split,
                n_images=of_split.get("n_images"),
                n_patients=of_split.get("n_patients"),
                classes=classes,
                finer=", ".join(f"{name} {n}" for name, n in finer.items()),
            )
        )
    return rows


def facts(inputs: ReportInputs) -> dict[str, Any]:
    """What was trained on what, name to value, in the order to show."""
    model, train, pixels = (
        inputs.evaluation.model,
        inputs.recipe["train"],
        inputs.provenance.get("pixels", inputs.recipe["pixels"]),
    )
    options = ", ".join(f"{key} {value}" for key, value in train.get("network_options", {}).items())
    count = model.n_parameters
    return {
        "Data set": inputs.recipe["dataset"]["name"],
        "Data fingerprint": inputs.fingerprint,
        "Image": f"{pixels['size_px']} x {pixels['size_px']} px, greyscale, {pixels['fit']}",
        "Network": train["network"] + (f" ({options})" if options else ""),
        "Parameters": f"{count:,}".replace(",", " ") if count else "not recorded",
        "Epochs": _epochs(inputs),
        **training_facts(inputs),
    }


def _epochs(inputs: ReportInputs) -> str:
    if inputs.recipe["train"].get("epochs") == 0:
        named = inputs.recipe["train"]["starting_weights"]
        return f"none: the weights of {named} as they are; calibration and thresholds alone are new"
    return f"{len(inputs.history)} in {inputs.train_seconds / 60:.1f} min; epoch {inputs.best_epoch} was kept"


def finding_sections(inputs: ReportInputs) -> list[dict[str, Any]]:
    """Per finding: metrics of test beside validation, operating points, subgroups, classification report."""
    sections = []
    for finding in inputs.evaluation.findings:
        measured = inputs.evaluation.by_finding[finding]
        validation = by_name(measured.metrics["validation"])
        points = sorted(measured.operating_points.items(), key=lambda pair: not pair[1].served)
        sections.append(
            {
                "finding": finding,
                "name": display_name(finding),
                "assessable": measured.assessable,
                "reason": measured.reason,
                "metrics": [
                    {"name": METRIC_NAMES[record.name], "test": record, "validation": validation[record.name]}
                    for record in measured.metrics["test"]
                ],
                "points": [_point(name, point) for name, point in points],
                "served_note": measured.served_note,
                "unreached": {POINT_NAMES[name]: why for name, why in measured.unreached_points.items()},
                "calibration": measured.calibration,
                "classification_report": measured.classification_report,
                "subgroups": [_subgroup(row) for row in measured.subgroups],
            }
        )
    return sections


def _subgroup(row: SubgroupRow) -> SubgroupRow:
    """With the property by its shown name, and the second gap, which format 1 and the earliest of 2 do not have."""
    missed = turned(row.sensitivity_gap)
    return replace(row, by=SUBGROUP_NAMES.get(row.by, row.by), false_negative_rate_gap=missed)


def _point(name: str, point: OperatingPoint) -> dict[str, Any]:
    test = point.test
    positives, negatives = test.n_positive, test.n - test.n_positive
    cells = (
        (test.true_positives, test.false_negatives, positives, "Finding present", True),
        (test.false_positives, test.true_negatives, negatives, "Finding absent", False),
    )
    return {
        "name": POINT_NAMES[name],
        "threshold": point.threshold,
        "served": point.served,
        "metrics": [{"label": METRIC_NAMES[record.name], "record": record} for record in test.metrics],
        "confusion": [
            {
                "truth": truth,
                "called": called,
                "cleared": cleared,
                "n": n,
                "called_share": called / n if n else 0.0,
                "cleared_share": cleared / n if n else 0.0,
                "called_is_right": called_is_right,
            }
            for called, cleared, n, truth, called_is_right in cells
        ],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineRow:
    """The AUROCs of the model or of a baseline, for one finding."""

    name: str
    finding: str
    """As it is displayed."""
    is_model: bool
    test: MetricRecord | None = None
    validation: MetricRecord | None = None


def baseline_rows(inputs: ReportInputs) -> list[BaselineRow]:
    """The model, then each baseline: AUROC on test and validation, per finding."""
    rows = []
    for finding in inputs.evaluation.findings:
        of_finding = inputs.evaluation.by_finding[finding].metrics
        model = {split: record_of(of_finding[split], "auroc") for split in MEASURED_SPLITS}
        rows.append(BaselineRow(name="This model", finding=display_name(finding), is_model=True, **model))
        for baseline in inputs.evaluation.baselines:
            by_split = {record.split: record for record in baseline.metrics if record.finding == finding}
            rows.append(
                BaselineRow(name=baseline.description, finding=display_name(finding), is_model=False, **by_split)
            )
    return rows


def example_groups(inputs: ReportInputs) -> list[dict[str, Any]]:
    """Examples with their pictures as data URIs, captions and texts for screen readers: by kind, or by finding where
    the model has several."""
    if inputs.explanations is None:
        return []
    examples = inputs.explanations.examples
    if len(inputs.evaluation.findings) > 1:
        shown = dict.fromkeys(example.finding for example in examples)
        return [
            {
                "title": display_name(finding),
                "meaning": "",
                "items": [_shown(e) for e in examples if e.finding == finding],
            }
            for finding in shown
        ]
    return [
        {"title": title, "meaning": meaning, "items": [_shown(example) for example in examples if example.kind == kind]}
        for kind, (title, meaning) in ((kind, KIND_NAMES[kind]) for kind in KINDS)
    ]


def _shown(example: Example) -> dict[str, Any]:
    encoded = base64.b64encode(Path(example.picture).read_bytes()).decode("ascii")
    label, kind = display_name(example.finding).lower(), example.kind.replace("_", " ")
    call = "positive" if example.is_called else "negative"
    alt = (
        f"Example {example.number}, a {kind} for {label}: the X-ray, and the same X-ray with its "
        f"heat map. Probability {example.probability:.2f}, called {call}."
    )
    uri = f"data:image/png;base64,{encoded}"
    return {"item": example, "kind": kind, "uri": uri, "alt": alt, "label": label, "call": call}

"""The measured parts of a model's card: metrics, operating points, calibration, subgroups."""

from __future__ import annotations

from typing import Any

from cxr_tasks.contracts.labels import display_name
from cxr_tasks.contracts.metrics import Bounds, MetricRecord, record_of
from cxr_tasks.report.card.blocks import NOTHING, Grid, Text
from cxr_tasks.report.material import ReportInputs
from cxr_tasks.report.page.findings import test_records
from cxr_tasks.report.page.sections import METRIC_NAMES, POINT_NAMES, finding_sections
from cxr_tasks.report.page.several import several_sections

#: Of the calibrated probabilities; versions evaluated with format 2 have the last two alone.
CALIBRATION_SHOWN = (
    "calibration_intercept", "calibration_slope", "expected_observed", "prevalence_shift", "brier_skill",
    "ece_relative", "brier_after", "ece_after",
)  # fmt: skip
CALIBRATION_MEANS = (
    "Right is an intercept of 0, a slope of 1 and a ratio of 1; Brier skill is above 0 where a probability says more "
    "than the prevalence. A calibration error has no such reference: it depends on prevalence and number of images. "
    "Where the prevalence of test is another than that of validation the intercept follows that shift, which is no "
    "fault of the calibration."
)
GROUP_SHARES = ("auroc", "sensitivity", "specificity", "sensitivity_gap", "false_negative_rate_gap")


def metrics_blocks(inputs: ReportInputs) -> list[Any]:
    confidence = f"{inputs.evaluation.confidence * 100:g} % intervals; n counts images, in brackets the positive ones."
    several = several_sections(inputs)
    if several:
        head = ("Finding", "Positive", "AUROC", "Average precision", "Prevalence", "Sensitivity", "Specificity",
                "Calibration intercept", "Calibration slope")  # fmt: skip
        rows = []
        for row in several["summary"]:
            cells = [_estimate(cell) for place, cell in enumerate(row["cells"]) if place != 3]
            rows.append([row["name"], row["positive"], *cells])
        return [Grid(f"Test split, {confidence}", head, rows)]
    blocks: list[Any] = []
    for section in finding_sections(inputs):
        rows = [
            [
                row["name"],
                *(text for split in ("test", "validation") for text in (_estimate(row[split]), _n(row[split]))),
            ]
            for row in section["metrics"]
        ]
        caption = f"{section['name']}: {confidence}"
        blocks.append(Grid(caption, ("Metric", "Test", "n", "Validation", "n"), rows))
    return blocks


def points_blocks(inputs: ReportInputs) -> list[Any]:
    names = ("sensitivity", "specificity", "ppv", "npv")
    is_one = len(inputs.evaluation.findings) == 1
    rows = []
    for finding in inputs.evaluation.findings:
        points = inputs.evaluation.by_finding[finding].operating_points
        for name, point in sorted(points.items(), key=lambda pair: not pair[1].served):
            if point.served or is_one:
                served = " (served)" if point.served else ""
                measured = (record_of(point.test.metrics, name_of_metric) for name_of_metric in names)
                label = f"{POINT_NAMES[name]}{served}"
                rows.append(
                    [display_name(finding), label, f"{point.threshold:.4f}"]
                    + [f"{_estimate(record)}, n = {record.n}" for record in measured]
                )
    head = ("Finding", "Point", "Threshold", *(METRIC_NAMES[name] for name in names))
    if not rows:
        return [Text("No finding could be assessed: there is no operating point.")]
    return [Grid("On test, at thresholds of the calibrated probability that were chosen on validation.", head, rows)]


def calibration_blocks(inputs: ReportInputs) -> list[Any]:
    rows = []
    for finding in inputs.evaluation.findings:
        records = test_records(inputs.evaluation, finding)
        fitted, how = inputs.evaluation.by_finding[finding].calibration, "not assessable"
        if fitted:
            method = fitted.method.replace(" fitted on validation", "")
            how = f"{method}, a = {fitted.a:.3f}, b = {fitted.b:.3f}"
        rows.append([display_name(finding), how, *(_estimate(records.get(name)) for name in CALIBRATION_SHOWN)])
    head = (
        "Finding",
        "Fitted on validation",
        *(METRIC_NAMES[name] for name in CALIBRATION_SHOWN),
    )
    return [Grid(f"Probability = sigmoid(a x logit + b); on test. {CALIBRATION_MEANS}", head, rows)]


def subgroups_blocks(inputs: ReportInputs) -> list[Any]:
    several = several_sections(inputs)
    if several:
        rows = [
            [
                row.name,
                row.group,
                f"{row.n} ({row.n_positive})",
                _share(row.sensitivity),
                _share(row.gap),
                _share(row.missed_gap),
            ]
            for row in several["gaps"]["largest"]
        ]
        gap_head = (
            "Finding",
            "Group",
            "n (positive)",
            "Sensitivity",
            "Less the rest's",
            "False-negative rate less the rest's",
        )
        table = [Grid("The largest gaps that are clear of 0.", gap_head, rows)] if rows else []
        return [Text(several["gaps"]["sentence"]), *table]
    (section,) = finding_sections(inputs)
    rows = [
        [
            f"{row.by}: {row.value}",
            f"{row.n} ({row.n_positive})",
            *(_share(getattr(row, name)) for name in GROUP_SHARES),
            "fewer than 20 positives" if row.is_weak else "",
        ]
        for row in section["subgroups"]
    ]
    if not rows:
        return [Text("The data tells of no property that splits the test images into groups.")]
    head = (
        "Group", "n (positive)", "AUROC", "Sensitivity", "Specificity", "Sensitivity less the rest's",
        "False-negative rate less the rest's", "Note",
    )  # fmt: skip
    return [Grid("Test split, at the served decision.", head, rows)]


def _estimate(record: MetricRecord | None) -> str:
    if record is None:
        return NOTHING
    if record.value is None:
        return record.reason or NOTHING
    if record.lower is None:
        return f"{record.value:.3f}"
    return f"{record.value:.3f} ({record.lower:.3f} to {record.upper:.3f})"


def _n(record: MetricRecord) -> str:
    return f"{record.n} ({record.n_positive})"


def _share(share: Bounds | None) -> str:
    return f"{share.value:.3f} ({share.lower:.3f} to {share.upper:.3f})" if share else NOTHING

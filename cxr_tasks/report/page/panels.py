"""Small multiples: one small plot per finding, side by side, and plots with one line per finding."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxr_tasks.contracts.evaluation.evaluation import Evaluation
from cxr_tasks.contracts.labels import display_name
from cxr_tasks.contracts.metrics import MetricRecord
from cxr_tasks.evaluate.table import scored
from cxr_tasks.report.material import ReportInputs
from cxr_tasks.report.page.findings import ByName, ranked_findings, test_records
from cxr_tasks.report.page.plots import FAINT, INK, MODEL, SECOND, svg_of
from cxr_tasks.statistics.scores import precision_recall_points, roc_points

COLUMNS = 5
#: Inches of one panel.
PANEL_WIDTH, PANEL_HEIGHT = 2.05, 2.15


def drawn_together(inputs: ReportInputs, table: Any) -> dict[str, Any]:
    """Plots of all assessable findings of a model as SVG: forest, recall, and panels; empty where there is none."""
    evaluation = inputs.evaluation
    findings = [finding for finding in ranked_findings(evaluation) if evaluation.by_finding[finding].assessable]
    if not findings:
        return {"forest": None, "recall": None, "panels": []}
    records = {finding: test_records(evaluation, finding) for finding in findings}
    height = 0.7 + 0.27 * len(findings)
    ridge = _ridge(evaluation)
    return {
        "forest": _svg(
            lambda figure: draw_aurocs(figure, records, ridge), name="forest", width=7.2, height=height,
            alt="Test AUROC of each finding with its interval, the strongest first.",
        ),
        "recall": _svg(
            lambda figure: draw_recall(figure, records), name="recall", width=7.2, height=height,
            alt="Recall of each finding at a raw probability of 0.5 and at the served threshold.",
        ),
        "panels": [
            _roc_panels(records, table), _recall_panels(records, table), _reliability_panels(evaluation, records),
        ],
    }  # fmt: skip


def _ridge(evaluation: Evaluation) -> dict[str, float]:
    return {
        record.finding: record.value
        for baseline in evaluation.baselines
        for record in baseline.metrics
        if baseline.name == "ridge_32px" and record.split == "test" and record.value is not None
    }


def draw_aurocs(figure: Figure, records: dict[str, ByName], ridge: dict[str, float]) -> None:
    """One line per finding: AUROC with its interval, and the ridge regression's as a cross."""
    axes = _lines(figure, list(records), "Test AUROC")
    for place, (finding, record) in enumerate(records.items()):
        _with_bar(axes, record["auroc"], -place, MODEL)
        if finding in ridge:
            axes.plot(ridge[finding], -place, marker="x", ms=6, mew=1.6, color=SECOND, ls="")
    axes.axvline(0.5, color=FAINT, lw=1, ls=":")
    lowest = min([record["auroc"].bounds.lower for record in records.values()] + list(ridge.values()))
    axes.set_xlim(min(0.48, lowest - 0.02), 1.01)


def draw_recall(figure: Figure, records: dict[str, ByName]) -> None:
    """One line per finding: recall at a raw probability of 0.5 (open), and at the served threshold (filled)."""
    axes = _lines(figure, list(records), "Recall on test")
    for place, record in enumerate(records.values()):
        raw, served = record["sensitivity_at_raw_half"].bounds.value, record["sensitivity"]
        axes.plot([raw, served.bounds.value], [-place, -place], color=FAINT, lw=1.2, zorder=1)
        axes.plot(raw, -place, marker="o", ms=6, mfc="none", mec=SECOND, mew=1.5, ls="")
        _with_bar(axes, served, -place, MODEL)
    axes.set_xlim(-0.02, 1.02)


def _lines(figure: Figure, findings: Sequence[str], label: str) -> Axes:
    axes = figure.subplots()
    axes.set(
        yticks=[-place for place in range(len(findings))], yticklabels=[display_name(finding) for finding in findings]
    )
    axes.set(xlabel=label, ylim=(-len(findings) + 0.4, 0.6))
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return axes


def _with_bar(axes: Axes, record: MetricRecord, y: float, color: str) -> None:
    value, lower, upper = record.bounds
    axes.errorbar(
        value, y, xerr=[[value - lower], [upper - value]], color=color, marker="o", ms=6, elinewidth=1.8, capsize=2.5
    )


def _roc_panels(records: dict[str, ByName], table: Any) -> dict[str, Any]:
    def draw(axes: Axes, finding: str) -> None:
        rows, record = scored(table, "test", finding), records[finding]
        axes.plot([0, 1], [0, 1], color=FAINT, lw=0.8, ls=":")
        axes.plot(*roc_points(rows.is_positive, rows.logit), color=MODEL, lw=1.4)
        point = 1 - record["specificity"].bounds.value, record["sensitivity"].bounds.value
        axes.plot(*point, marker="D", ms=4.5, color=SECOND, mec=INK, mew=0.6, ls="")
        _title(axes, finding, f"AUROC {record['auroc'].value:.3f}")

    return {
        "title": "ROC curves",
        "svg": _panels(
            list(records), draw, "roc", "ROC curve of each finding on test.", "1 - specificity", "Sensitivity"
        ),
        "caption": "Test split. Diamond: the served decision. Dotted: chance.",
    }


def _recall_panels(records: dict[str, ByName], table: Any) -> dict[str, Any]:
    def draw(axes: Axes, finding: str) -> None:
        rows, record = scored(table, "test", finding), records[finding]
        prevalence = record["prevalence"].bounds.value
        axes.axhline(prevalence, color=FAINT, lw=0.8, ls=":")
        axes.plot(*precision_recall_points(rows.is_positive, rows.logit), color=MODEL, lw=1.2)
        if record["ppv"].value is not None:
            point = record["sensitivity"].bounds.value, record["ppv"].value
            axes.plot(*point, marker="D", ms=4.5, color=SECOND, mec=INK, mew=0.6, ls="")
        _title(axes, finding, f"AP {record['average_precision'].value:.3f} beside {prevalence:.3f}")

    alt = "Precision-recall curve of each finding on test."
    return {
        "title": "Precision and recall",
        "svg": _panels(list(records), draw, "pr", alt, "Recall", "Precision"),
        "caption": "Test split. AP: average precision, beside the prevalence (dotted), which a model that knows "
        "nothing reaches. Diamond: the served decision.",
    }


def _reliability_panels(evaluation: Evaluation, records: dict[str, ByName]) -> dict[str, Any]:
    def draw(axes: Axes, finding: str) -> None:
        calibration = evaluation.by_finding[finding].calibration
        if calibration is None:
            return
        bins = calibration.reliability["test"]
        after = [bin_ for bin_ in bins.after if bin_.n >= 10] or bins.after
        # Rare findings have their probabilities near 0: each panel ends where its own do.
        end = min(1.0, 1.15 * max(max(bin_.mean_probability, bin_.share_positive) for bin_ in after) + 0.02)
        axes.plot([0, end], [0, end], color=FAINT, lw=0.8, ls=":")
        for bin_ in after:
            reach = [[bin_.share_positive - bin_.lower], [bin_.upper - bin_.share_positive]]
            axes.errorbar(bin_.mean_probability, bin_.share_positive, reach, color=MODEL, marker="o", ms=3.5, lw=1)
        axes.set(xlim=(-0.03 * end, end), ylim=(-0.03 * end, end))
        record = records[finding]
        error, prevalence = record["ece_after"].value, record["prevalence"].value
        _title(axes, finding, f"error {error:.3f} beside {prevalence:.3f}")

    alt = "Share of positives by calibrated probability of each finding on test."
    return {
        "title": "Calibration",
        "svg": _panels(list(records), draw, "calibration", alt, "Mean probability", "Share positive"),
        "caption": "Test split, calibrated on validation; bins with at least 10 images, Wilson bars. Axes end where a "
        "finding's probabilities do. Dotted: perfect. Error: the calibration error, beside the prevalence; no rule of "
        "the gate, as it cannot be large for a rare finding.",
    }


def _title(axes: Axes, finding: str, number: str) -> None:
    axes.set_title(f"{display_name(finding)}\n{number}", fontsize=8.5, loc="left")


def _panels(findings: Sequence[str], draw: Callable[[Axes, str], None], name: str, alt: str, x: str, y: str) -> Markup:
    columns = min(COLUMNS, len(findings))
    n_rows = math.ceil(len(findings) / columns)

    def fill(figure: Figure) -> None:
        grid = figure.subplots(n_rows, columns, squeeze=False)
        for place, axes in enumerate(grid.flat):
            if place >= len(findings):
                axes.set_visible(False)
                continue
            axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
            axes.tick_params(labelsize=7.5, length=2)
            axes.locator_params(nbins=4)
            axes.set_box_aspect(1)
            draw(axes, findings[place])
        figure.supxlabel(x, fontsize=9)
        figure.supylabel(y, fontsize=9)

    width, height = PANEL_WIDTH * columns, PANEL_HEIGHT * n_rows + 0.35
    return _svg(fill, name=f"panels-{name}", alt=alt, width=width, height=height)


def _svg(draw: Callable[[Figure], None], **options: Any) -> Markup:
    # Matplotlib escapes the text it draws, and svg_of the text it adds.
    return Markup(svg_of(draw, **options))  # noqa: S704

"""Plots as SVG text that stands in the page itself: no file, no font, colours of the page's own light or dark theme."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from cxr_tasks.contracts.evaluation.of_finding import OperatingPoint, Reliability
from cxr_tasks.contracts.handoffs.training import EpochRecord
from cxr_tasks.contracts.metrics import MetricRecord, record_of
from cxr_tasks.report.page.curves import GRID, Curve
from cxr_tasks.statistics.calibration import N_BINS

#: Stands for the text colour of the page; replaced by ``currentColor`` in the SVG.
INK = "#010203"
#: Both keep a contrast of 3:1 or more on the page's white and on its near-black.
MODEL, SECOND, FAINT = "#3f7fc4", "#c9720f", "#8a8f98"
POINT_MARKERS = {
    "youden": ("o", "Youden"),
    "best_f1": ("s", "best F1"),
    "target_sensitivity": ("D", "target sensitivity"),
    "target_ppv": ("^", "target PPV"),
    "own": ("D", "the model's own"),
}


def svg_of(draw: Callable[[Figure], None], *, name: str, alt: str, width: float = 5.2, height: float = 4.2) -> str:
    """The figure that ``draw`` fills, as an ``<svg>`` element named ``alt`` for screen readers.

    Args:
        name: Unique in the page; all ids inside the SVG start with it.
        alt: One sentence that says what the plot shows.
    """
    import matplotlib as mpl

    style: dict[Any, Any] = {
        "svg.fonttype": "none", "svg.hashsalt": name, "font.family": "sans-serif", "font.size": 10,
        "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK,
        "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.8, "legend.frameon": False,
        "axes.grid": True, "grid.color": FAINT, "grid.alpha": 0.25, "grid.linewidth": 0.6, "axes.titlesize": 10.5,
    }  # fmt: skip
    with mpl.rc_context(style):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _embedded(stream.getvalue(), name, alt)


def _embedded(text: str, name: str, alt: str) -> str:
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'(xlink:href="#|url\(#)', rf"\1{name}-", text)
    text = text.replace(INK, "currentColor").replace("'DejaVu Sans', ", "")
    text = re.sub(r'(<svg[^>]*?) width="[^"]+"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]+"', r"\1", text, count=1)
    label = alt.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return text.replace("<svg", f'<svg role="img" aria-label="{label}" class="plot"', 1).strip()


def draw_roc(figure: Figure, curve: Curve, points: Mapping[str, OperatingPoint]) -> None:
    """The ROC curve with its band and the operating points as they fall on test; chance is the diagonal."""
    axes = _unit_axes(figure, "1 - specificity (false-positive rate)", "Sensitivity")
    axes.plot([0, 1], [0, 1], color=FAINT, lw=1, ls=":", label="chance")
    axes.fill_between(GRID, curve.lower, curve.upper, color=MODEL, alpha=0.18, lw=0)
    axes.plot(curve.x, curve.y, color=MODEL, lw=1.8, label="model")
    for point_name, point in points.items():
        marker, label = POINT_MARKERS[point_name]
        specificity, sensitivity = (record_of(point.test.metrics, name) for name in ("specificity", "sensitivity"))
        label += " (served)" if point.served else ""
        axes.plot(
            1 - specificity.bounds.value, sensitivity.bounds.value, marker=marker, ls="", ms=8 if point.served else 6,
            color=SECOND, mec=INK, mew=0.8, fillstyle="full" if point.served else "none", label=label,
        )  # fmt: skip
    axes.legend(loc="lower right", fontsize=9)


def draw_precision_recall(figure: Figure, curve: Curve, prevalence: float) -> None:
    """Precision against recall with its band; a model that knows nothing stays at the prevalence."""
    axes = _unit_axes(figure, "Recall (sensitivity)", "Precision (PPV)")
    axes.axhline(prevalence, color=FAINT, lw=1, ls=":", label=f"prevalence {prevalence:.2f}")
    axes.fill_between(GRID, curve.lower, curve.upper, color=MODEL, alpha=0.18, lw=0)
    axes.plot(curve.x, curve.y, color=MODEL, lw=1.8, label="model")
    axes.legend(loc="lower left", fontsize=9)


def draw_calibration(figure: Figure, reliability: Reliability) -> None:
    """Share of positives against mean probability per bin, with Wilson bars, before and after calibration; n below."""
    axes, below = figure.subplots(2, 1, height_ratios=[4, 1], sharex=True)
    axes.plot([0, 1], [0, 1], color=FAINT, lw=1, ls=":", label="perfect")
    for when, bins, color, marker, shift in (
        ("before", reliability.before, SECOND, "s", -0.006),
        ("after", reliability.after, MODEL, "o", 0.006),
    ):
        x = np.array([group.mean_probability for group in bins]) + shift
        y = np.array([group.share_positive for group in bins])
        bars = np.abs(np.array([[group.lower for group in bins], [group.upper for group in bins]]) - y)
        axes.errorbar(x, y, bars, color=color, marker=marker, ms=5, lw=1.4, elinewidth=1, label=f"{when} calibration")
    axes.set(ylabel="Share that is positive", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.legend(loc="upper left", fontsize=9)
    after = reliability.after
    places = [min(int(bin_.mean_probability * N_BINS), N_BINS - 1) for bin_ in after]
    below.bar([(place + 0.5) / N_BINS for place in places], [bin_.n for bin_ in after], 0.08, color=MODEL, alpha=0.7)
    below.set(xlabel="Mean predicted probability of the bin", ylabel="n")
    below.locator_params(axis="y", nbins=3)


def draw_history(figure: Figure, history: Sequence[EpochRecord], best_epoch: int) -> None:
    """Loss and AUROC on validation by epoch; the vertical line is the epoch whose weights were kept."""
    left, right = figure.subplots(1, 2)
    _draw_series(left, history, {"loss": ("train", SECOND), "val_loss": ("validation", MODEL)}, "Loss")
    series = {"val_auroc": ("validation", MODEL), "val_auroc_stressed": ("validation, stressed", SECOND)}
    _draw_series(right, history, series, "AUROC")
    for axes in (left, right):
        axes.axvline(best_epoch, color=FAINT, lw=1, ls="--")
        axes.set_xlabel("Epoch")
        axes.locator_params(axis="x", integer=True, nbins=6)
        axes.legend(fontsize=9)


def _draw_series(axes: Axes, history: Sequence[EpochRecord], series: Mapping[str, tuple[str, str]], title: str) -> None:
    axes.set_title(title, loc="left")
    for key, (label, color) in series.items():
        rows = [epoch for epoch in history if epoch.get(key) is not None]
        if rows:
            x, y = [row["epoch"] for row in rows], [row[key] for row in rows]
            axes.plot(x, y, color=color, lw=1.6, marker="o", ms=3, label=label)


def draw_forest(figure: Figure, rows: Sequence[tuple[str, MetricRecord]]) -> None:
    """AUROCs one under the other with their intervals, the first row highlighted."""
    axes = figure.subplots()
    for place, (_, record) in enumerate(rows):
        bounds = record.bounds
        color = MODEL if place == 0 else SECOND
        reach = [[bounds.value - bounds.lower], [bounds.upper - bounds.value]]
        axes.errorbar(bounds.value, -place, xerr=reach, color=color, marker="o", ms=7, elinewidth=2, capsize=3)
        axes.annotate(f"{bounds.value:.3f}", (bounds.value, -place), (0, 9), textcoords="offset points", ha="center")
    axes.axvline(0.5, color=FAINT, lw=1, ls=":")
    axes.set(yticks=[-place for place in range(len(rows))], yticklabels=[name for name, _ in rows], xlabel="Test AUROC")
    axes.set_ylim(-len(rows) + 0.5, 0.6)
    lowest = min(record.bounds.lower for _, record in rows)
    axes.set_xlim(min(0.48, lowest - 0.02), 1.01)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _unit_axes(figure: Figure, x: str, y: str) -> Axes:
    axes = figure.subplots()
    axes.set(xlabel=x, ylabel=y, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    return axes

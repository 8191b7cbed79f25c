"""A report's inputs as one HTML page: tables by Jinja with everything escaped, plots as SVG inside it."""

from __future__ import annotations

from typing import Any, NamedTuple

import yaml
from markupsafe import Markup

from cxr_tasks.contracts.evaluation.evaluation import Evaluation
from cxr_tasks.contracts.handoffs.judgement import is_lowered, marked_verdict
from cxr_tasks.contracts.labels import display_name
from cxr_tasks.contracts.metrics import MetricRecord, record_of
from cxr_tasks.datasets.split_facts import split_sentences
from cxr_tasks.evaluate.table import read_predictions, scored
from cxr_tasks.explain.localise import localisation_sentence
from cxr_tasks.installation.software import installed_packages
from cxr_tasks.report.material import ReportInputs
from cxr_tasks.report.page import plots
from cxr_tasks.report.page.conclusion import can_do, cannot_do, counts_patients
from cxr_tasks.report.page.conclusion_several import several_can_do, several_cannot_do, what_to_do
from cxr_tasks.report.page.curves import precision_recall_curve, roc_curve
from cxr_tasks.report.page.gate import gate_section
from cxr_tasks.report.page.panels import drawn_together
from cxr_tasks.report.page.sections import baseline_rows, data_rows, example_groups, facts, finding_sections
from cxr_tasks.report.page.several import several_sections
from cxr_tasks.report.page.typicality import typicality_section
from cxr_tasks.report.pages import environment, stylesheet
from cxr_tasks.report.views import left_out_sentence, view_rows
from cxr_tasks.sources.base import about_source

VERDICTS = {
    "PASS": "Passed the gate",
    "FAIL": "Refused by the gate",
    "NEEDS_HUMAN": "Left to a person by the gate",
}
#: Resamples behind the bands of the curves; they are drawn, not decided by.
BAND_SAMPLES = 400


def render_report(inputs: ReportInputs) -> str:
    """The page as text. Same inputs, same page."""
    explained, source = inputs.explanations, inputs.recipe["dataset"]["source"]
    several = several_sections(inputs)
    context: dict[str, Any] = {
        "inputs": inputs,
        "counts_patients": counts_patients(inputs.evaluation),
        "css": stylesheet(),
        "verdict": verdict(inputs),
        "confidence": f"{inputs.evaluation.confidence * 100:g} %",
        "tiles": tiles(inputs.evaluation),
        "several": several,
        "can": several_can_do(inputs.evaluation) if several else can_do(inputs.evaluation),
        "cannot": several_cannot_do(inputs.evaluation, source) if several else cannot_do(inputs.evaluation, source),
        "next_steps": what_to_do(inputs.evaluation) if several else [],
        "data": data_rows(inputs),
        "facts": facts(inputs),
        "views": view_rows(inputs.statistics),
        "left_out": left_out_sentence(inputs.provenance),
        "dealt": split_sentences(inputs.splits, inputs.recipe["split"]),
        "findings": finding_sections(inputs),
        "baselines": baseline_rows(inputs),
        "examples": example_groups(inputs),
        "localisation": [
            f"{display_name(finding)}: {localisation_sentence(localisation)}"
            for finding, localisation in (explained.localisation if explained else {}).items()
        ],
        "explained_rule": explained.rule if explained else "",
        "map_cells": " x ".join(map(str, explained.map_cells)) if explained else "",
        "typicality": typicality_section(inputs.evaluation),
        "gate": gate_section(inputs),
        "commands": commands(inputs),
        "packages": inputs.packages or installed_packages(),
        "recipe_yaml": yaml.safe_dump(inputs.recipe, sort_keys=False, allow_unicode=True),
        "plots": drawn(inputs),
    }
    return environment().get_template("report.html.j2").render(context)


class VerdictBox(NamedTuple):
    """The box at the top of the page."""

    outcome: str
    """The gate's word, by which the box has its colour; '' where there is no decision."""
    title: str
    sentence: str
    """The one number behind it."""
    reasons: list[str]


def verdict(inputs: ReportInputs) -> VerdictBox:
    """The box at the top: what the gate decided, and the one number behind it."""
    auroc = record_of(inputs.evaluation.mean["test"], "auroc")
    if auroc.value is None:
        number = f"There is no test AUROC: {auroc.reason}."
    else:
        number = f"Test AUROC {auroc.value:.3f} ({auroc.lower:.3f} to {auroc.upper:.3f}, n = {auroc.n})."
    if inputs.decision is None:
        return VerdictBox("", "No decision of the gate is on record", number, [])
    outcome, reasons = inputs.decision["verdict"], list(inputs.decision["reasons"])
    if outcome == "PASS":
        met = sum(rule["outcome"] == "PASS" for rule in inputs.decision["rules"])
        number += f" All {met} rules that apply are met. Passing the gate is no clearance for clinical use."
    reasons += [
        f"Override of {override.by}, {override.at[:16]} UTC: {override.reason}" for override in inputs.overrides
    ]
    title, floor = VERDICTS[outcome], inputs.decision.get("gate_floor")
    if is_lowered(floor):
        title = marked_verdict(title, floor)
        # Not the green of a verdict that the policy's own floor was asked for.
        outcome = "NEEDS_HUMAN" if outcome == "PASS" else outcome
    return VerdictBox(outcome, title, number, reasons)


class Tile(NamedTuple):
    """One of the numbers to see first, and what it is called."""

    name: str
    record: MetricRecord


def tiles(evaluation: Evaluation) -> list[Tile]:
    """The few numbers to see first: AUROC, and sensitivity and specificity of the served decision."""
    if len(evaluation.findings) > 1:
        return _tiles_of_several(evaluation)
    shown = [Tile("AUROC", record_of(evaluation.mean["test"], "auroc"))]
    point = evaluation.served_point(evaluation.findings[0])
    if point is not None:
        names = {"sensitivity": "Sensitivity, served decision", "specificity": "Specificity, served decision"}
        shown += [Tile(text, record_of(point.test.metrics, name)) for name, text in names.items()]
    test = evaluation.by_finding[evaluation.findings[0]].metrics["test"]
    return [*shown, Tile("Average precision", record_of(test, "average_precision"))]


def _tiles_of_several(evaluation: Evaluation) -> list[Tile]:
    mean, together = evaluation.mean["test"], evaluation.several["test"]
    shown = [Tile("Mean AUROC", record_of(mean, "auroc"))]
    served = together.served.get("mean", ())
    for name, text, records in (
        ("average_precision", "Mean average precision", mean),
        ("sensitivity", "Mean sensitivity, served decisions", served),
        ("specificity", "Mean specificity, served decisions", served),
    ):
        shown += [Tile(text, record) for record in records if record.name == name]
    return shown


def drawn(inputs: ReportInputs) -> dict[str, Any]:
    """All plots as SVG; a finding that cannot be assessed has none."""
    table = read_predictions(inputs.predictions, inputs.evaluation.findings)
    pictures: dict[str, Any] = {"findings": {}, "history": None, "forest": None}
    if inputs.history:
        pictures["history"] = _svg(
            lambda figure: plots.draw_history(figure, inputs.history, inputs.best_epoch),
            name="history", alt="Loss and validation AUROC by training epoch.", width=8.4, height=3.1,
        )  # fmt: skip
    if len(inputs.evaluation.findings) > 1:
        return {**pictures, **drawn_together(inputs, table)}
    for finding in inputs.evaluation.findings:
        if inputs.evaluation.by_finding[finding].assessable:
            pictures["findings"][finding] = _finding_plots(inputs, table, finding)
    rows = [
        (_short_name(row.name), row.test)
        for row in baseline_rows(inputs)
        if row.test is not None and row.test.value is not None
    ]
    if rows:
        alt = "Test AUROC with intervals: " + ", ".join(f"{name} {bounds.value:.3f}" for name, bounds in rows) + "."
        pictures["forest"] = _svg(lambda figure: plots.draw_forest(figure, rows), name="forest", alt=alt, height=2.4)
    return pictures


def _finding_plots(inputs: ReportInputs, table: Any, finding: str) -> dict[str, Any]:
    rows, measured = scored(table, "test", finding), inputs.evaluation.by_finding[finding]
    band: dict[str, Any] = {"confidence": inputs.evaluation.confidence, "samples": BAND_SAMPLES, "seed": 0}
    roc, recall = roc_curve(rows, **band), precision_recall_curve(rows, **band)
    auroc, name = record_of(measured.metrics["test"], "auroc").value, display_name(finding)
    prevalence = rows.n_positive / rows.n
    return {
        "n": rows.n,
        "n_positive": rows.n_positive,
        "roc": _svg(
            lambda figure: plots.draw_roc(figure, roc, measured.operating_points),
            name=f"roc-{finding}", alt=f"ROC curve of {name} on test; area {auroc:.3f}.",
        ),
        "precision_recall": _svg(
            lambda figure: plots.draw_precision_recall(figure, recall, prevalence),
            name=f"pr-{finding}", alt=f"Precision-recall curve of {name} on test; prevalence {prevalence:.2f}.",
        ),
        "calibration": measured.calibration and _svg(
            lambda figure: plots.draw_calibration(figure, measured.calibration.reliability["test"]),
            name=f"calibration-{finding}", alt=f"Share of positives by predicted probability of {name} on test.",
            height=4.6,
        ),
    }  # fmt: skip


def _svg(draw: Any, **options: Any) -> Markup:
    # Matplotlib escapes the text it draws, and svg_of the text it adds.
    return Markup(plots.svg_of(draw, **options))  # noqa: S704


def _short_name(name: str) -> str:
    return name.split(",", maxsplit=1)[0].split(" (", maxsplit=1)[0].replace(" of the file alone", "")


def commands(inputs: ReportInputs) -> str:
    """What to type to get this model again from the same images."""
    name, size = inputs.recipe["name"], f"{inputs.fingerprint[:16]}"
    epochs = inputs.recipe["train"]["epochs"]
    data = "" if about_source(inputs.recipe["dataset"]["source"]).is_drawn else " --data DIR"
    return (
        f"make up                                   # Airflow, MLflow and the model server, on this machine\n"
        f"cxr trigger {name}{data} --epochs {epochs} --wait\n"
        f"# the prepared data set must come out with a fingerprint beginning {size}"
    )

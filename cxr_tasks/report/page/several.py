"""The parts of a report that put several findings side by side, as plain rows for the template."""

from __future__ import annotations

from typing import Any

from cxr_tasks.contracts.evaluation.evaluation import Evaluation
from cxr_tasks.contracts.labels import display_name
from cxr_tasks.contracts.metrics import by_name
from cxr_tasks.report.material import ReportInputs
from cxr_tasks.report.page.findings import ranked_findings, test_records
from cxr_tasks.report.page.gaps import gap_sections
from cxr_tasks.report.page.sections import baseline_rows


def several_sections(inputs: ReportInputs) -> dict[str, Any] | None:
    """What the template shows of several findings together; None for a model of one finding."""
    evaluation = inputs.evaluation
    if len(evaluation.findings) == 1:
        return None
    return {
        "summary": summary_rows(evaluation),
        "has_ridge": any(baseline.name == "ridge_32px" for baseline in evaluation.baselines),
        "gaps": gap_sections(evaluation),
        "report": evaluation.multilabel_report,
        "baselines": baseline_table(inputs),
        "localisation": localisation_rows(inputs),
    }


SUMMARY = (
    "auroc", "average_precision", "prevalence", "sensitivity_at_raw_half", "sensitivity", "specificity",
    "calibration_intercept", "calibration_slope",
)  # fmt: skip


def summary_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """One row per finding, then the mean and the micro one."""
    rows: list[dict[str, Any]] = []
    for finding in ranked_findings(evaluation):
        measured, records = evaluation.by_finding[finding], test_records(evaluation, finding)
        counts = measured.counts["test"]
        rows.append(
            {
                "finding": finding,
                "name": display_name(finding),
                "note": "" if measured.assessable else "no decision to rely on",
                "positive": f"{counts.n_positive} of {counts.n}",
                "cells": [records.get(name) for name in SUMMARY],
                "is_total": False,
            }
        )
    together = evaluation.several["test"]
    n_ranked = sum(test_records(evaluation, finding)["auroc"].value is not None for finding in evaluation.findings)
    for kind, name, ranked in (
        ("mean", f"Mean of {n_ranked}", evaluation.mean["test"]),
        ("micro", "Micro", together.micro),
    ):
        records = {**by_name(together.served.get(kind, ())), **by_name(ranked)}
        cells = [records.get(name) for name in SUMMARY]
        rows.append({"finding": "", "name": name, "note": "", "positive": "", "cells": cells, "is_total": True})
    return rows


def baseline_table(inputs: ReportInputs) -> dict[str, Any]:
    """Test AUROC of the model and of each baseline, one row per finding."""
    rows: dict[str, list[Any]] = {}
    names: dict[str, None] = {}
    for row in baseline_rows(inputs):
        rows.setdefault(row.finding, []).append(row.test)
        names[row.name.split(",")[0].split(" (")[0]] = None
    return {"names": list(names), "rows": [{"name": name, "records": records} for name, records in rows.items()]}


def localisation_rows(inputs: ReportInputs) -> list[dict[str, Any]]:
    """The pointing game per finding with boxes, each followed by its control with random maps."""
    if inputs.explanations is None:
        return []
    rows = []
    for finding, measured in inputs.explanations.localisation.items():
        common = {"n": measured.n_images, "n_patients": measured.n_patients, "area": measured.random_share}
        model = {
            "hits": measured.n_hits,
            "share": measured.share,
            "lower": measured.lower,
            "upper": measured.upper,
        }
        rows.append({"name": display_name(finding), "maps": "model", **common, **model, "heat": measured.heat_share})
        if measured.control_share is not None:
            bounds = {"lower": measured.control_lower, "upper": measured.control_upper}
            control = {"hits": measured.control_hits, "share": measured.control_share, **bounds}
            rows.append({"name": "", "maps": "random", **common, **control, "heat": None})
    return rows

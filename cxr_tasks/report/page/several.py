"""The parts of a report that put several findings side by side, as plain rows for the template."""

from __future__ import annotations

from typing import Any

from cxr_tasks.contracts.labels import display_name
from cxr_tasks.evaluate.assess import served_point
from cxr_tasks.evaluate.subgroups import FEW_POSITIVES, turned
from cxr_tasks.report.material import ReportInputs
from cxr_tasks.report.page.sections import baseline_rows
from cxr_tasks.statistics.stratified import StratifiedDifference

#: Rows of the table of largest gaps.
MOST_GAPS = 12
#: Heads the column of gaps over all findings (``evaluate.subgroups_together``).
ALL_FINDINGS = "All together"
#: Property -> what stands before its value in the name of a group.
GROUP_WORDS = {"age_years": "Age", "sub_label": "Label", "sex": "Sex", "view": "View", "source": "Source"}

Records = dict[str, dict[str, Any]]


def several_sections(inputs: ReportInputs) -> dict[str, Any] | None:
    """What the template shows of several findings together; None for a model of one finding."""
    metrics = inputs.metrics
    if len(metrics["findings"]) == 1:
        return None
    return {
        "summary": summary_rows(metrics),
        "has_ridge": any(one["name"] == "ridge_32px" for one in metrics.get("baselines", [])),
        "gaps": gap_sections(metrics),
        "report": metrics["multilabel_report"],
        "baselines": baseline_table(inputs),
        "localisation": localisation_rows(inputs),
    }


def by_name(records: list[dict[str, Any]]) -> Records:
    return {one["name"]: one for one in records}


def test_records(metrics: dict[str, Any], finding: str) -> Records:
    """Test records of ``finding`` by name, with its served decision's and those at a raw probability of 0.5."""
    found, point = metrics["by_finding"][finding], served_point(metrics, finding)
    decided = by_name(point["test"]["metrics"]) if point else {}
    return {**decided, **by_name(found["metrics"]["test"]), **by_name(found["raw_half"]["test"])}


def ranked_findings(metrics: dict[str, Any]) -> list[str]:
    """Findings by test AUROC, the highest first; those that cannot be assessed last, in their own order."""

    def place(finding: str) -> tuple[bool, float]:
        value = test_records(metrics, finding)["auroc"]["value"]
        return value is None or not metrics["by_finding"][finding]["assessable"], -(value or 0.0)

    return sorted(metrics["findings"], key=place)


SUMMARY = (
    "auroc", "average_precision", "prevalence", "sensitivity_at_raw_half", "sensitivity", "specificity",
    "calibration_intercept", "calibration_slope",
)  # fmt: skip


def summary_rows(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """One row per finding, then the mean and the micro one."""
    rows: list[dict[str, Any]] = []
    for finding in ranked_findings(metrics):
        found, records = metrics["by_finding"][finding], test_records(metrics, finding)
        counts = found["counts"]["test"]
        rows.append(
            {
                "finding": finding,
                "name": display_name(finding),
                "note": "" if found["assessable"] else "no decision to rely on",
                "positive": f"{counts['n_positive']} of {counts['n']}",
                "cells": [records.get(name) for name in SUMMARY],
                "is_total": False,
            }
        )
    together = metrics["several"]["test"]
    n_ranked = sum(test_records(metrics, one)["auroc"]["value"] is not None for one in metrics["findings"])
    for kind, name, ranked in (
        ("mean", f"Mean of {n_ranked}", metrics["mean"]["test"]),
        ("micro", "Micro", together["micro"]),
    ):
        records = {**by_name(together["served"].get(kind, [])), **by_name(ranked)}
        cells = [records.get(one) for one in SUMMARY]
        rows.append({"finding": "", "name": name, "note": "", "positive": "", "cells": cells, "is_total": True})
    return rows


def gap_rows(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Every group of every assessable finding with its gap in sensitivity, and the false-negative rate's.

    ``is_clear`` where the interval leaves out 0 and both sides hold enough positives to say so.
    """
    rows = []
    for finding in metrics["findings"]:
        found = metrics["by_finding"][finding]
        for one in found["subgroups"] if found["assessable"] else ():
            gap = one["sensitivity_gap"]
            group = f"{GROUP_WORDS.get(one['by'], one['by'])} {one['value']}"
            is_clear = gap is not None and not one["is_gap_weak"] and not gap[1] <= 0.0 <= gap[2]
            named = {"finding": finding, "group": group, "gap": gap, "missed_gap": turned(gap), "is_clear": is_clear}
            rows.append({**one, **named})
    return rows


def gaps_sentence(metrics: dict[str, Any]) -> str:
    """How many gaps are clear of 0, and how many chance alone would make so."""
    firm = [one for one in gap_rows(metrics) if one["gap"] is not None and not one["is_gap_weak"]]
    if not firm:
        return "No group and its rest hold 20 positives each of any finding: nothing can be said of gaps."
    n_clear, by_chance = sum(one["is_clear"] for one in firm), (1.0 - metrics["confidence"]) * len(firm)
    return (
        f"{n_clear} of {len(firm)} gaps (20 positives or more on both sides) have an interval that leaves out 0; about "
        f"{by_chance:.0f} would by chance alone."
    )


def gap_sections(metrics: dict[str, Any]) -> dict[str, Any]:
    """Gaps as a matrix of groups by findings, and the largest that are clear of 0."""
    rows = gap_rows(metrics)
    findings = [one for one in ranked_findings(metrics) if metrics["by_finding"][one]["assessable"]]
    place = {(one["group"], one["finding"]): one for one in rows}
    clear = sorted((one for one in rows if one["is_clear"]), key=lambda one: -abs(one["gap"][0]))[:MOST_GAPS]
    together = gaps_together(metrics)
    names = [display_name(one) for one in findings]
    return {
        "names": [*names, ALL_FINDINGS] if together else names,
        "groups": [
            {
                "name": group,
                "cells": [
                    *(_gap_cell(place.get((group, one))) for one in findings),
                    *([_gap_cell(together.get(group))] if together else []),
                ],
            }
            for group in dict.fromkeys(one["group"] for one in rows)
        ],
        "sentence": gaps_sentence(metrics),
        "largest": [{**one, "finding": display_name(one["finding"])} for one in clear],
    }


def gaps_together(metrics: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Group -> its gap over all findings; none of metrics of before findings were taken together."""
    found = {}
    for row in metrics["several"]["test"].get("subgroups", ()):
        if row["sensitivity"] is not None:
            difference = StratifiedDifference.of_facts(row["sensitivity"])
            gap, is_weak = difference.interval(metrics["confidence"]), min(difference.n) < FEW_POSITIVES
            found[f"{GROUP_WORDS.get(row['by'], row['by'])} {row['value']}"] = {
                "gap": [gap.value, gap.lower, gap.upper],
                "is_gap_weak": is_weak,
                "is_clear": not is_weak and not gap.lower <= 0.0 <= gap.upper,
            }
    return found


def _gap_cell(one: dict[str, Any] | None) -> dict[str, Any]:
    if one is None or one["gap"] is None:
        return {"text": "", "is_clear": False, "is_weak": False, "side": "", "size": 0.0}
    gap = one["gap"][0]
    side = ("below" if gap < 0 else "above") if one["is_clear"] else ""
    size = min(abs(gap) / 0.3, 1.0)
    return {
        "text": f"{gap:+.2f}",
        "is_clear": one["is_clear"],
        "is_weak": one["is_gap_weak"],
        "side": side,
        "size": size,
    }


def baseline_table(inputs: ReportInputs) -> dict[str, Any]:
    """Test AUROC of the model and of each baseline, one row per finding."""
    rows: dict[str, list[Any]] = {}
    names: dict[str, None] = {}
    for one in baseline_rows(inputs):
        rows.setdefault(one["finding"], []).append(one.get("test"))
        names[one["name"].split(",")[0].split(" (")[0]] = None
    return {"names": list(names), "rows": [{"name": name, "records": records} for name, records in rows.items()]}


def localisation_rows(inputs: ReportInputs) -> list[dict[str, Any]]:
    """The pointing game per finding with boxes, each followed by its control with random maps."""
    if inputs.explanations is None:
        return []
    rows = []
    for finding, one in inputs.explanations.localisation.items():
        common = {"n": one["n_images"], "n_patients": one.get("n_patients"), "area": one["random_share"]}
        model = {"hits": one["n_hits"], "share": one["share"], "lower": one["lower"], "upper": one["upper"]}
        rows.append({"name": display_name(finding), "maps": "model", **common, **model, "heat": one["heat_share"]})
        if one["control_share"] is not None:
            bounds = {"lower": one["control_lower"], "upper": one["control_upper"]}
            control = {"hits": one["control_hits"], "share": one["control_share"], **bounds}
            rows.append({"name": "", "maps": "random", **common, **control, "heat": None})
    return rows

"""The content of ``metrics.json`` for MLflow, as flat names, and for a task's log, as a text table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cxr_tasks.contracts.text_table import text_table

#: Of the served decision of each of several findings; the rest stands in ``metrics.json``.
SERVED_SHOWN = ("sensitivity", "specificity", "ppv", "f1")


def flat_metrics(metrics: dict[str, Any]) -> dict[str, float]:
    """Every number as MLflow wants it: ``test_auroc``, ``test_auroc_lower``, ``test_sensitivity_served``, ...

    The mean over findings has the plain name, the micro one ends in ``_micro``. With several findings each has its own,
    ending in ``_<finding>``, and of the operating points the served one alone: the others stand in ``metrics.json``.
    """
    flat: dict[str, float] = {}
    one_finding = len(metrics["findings"]) == 1
    for split, records in metrics["mean"].items():
        for record in records:
            _add(flat, f"{split}_{record['name']}", record)
    for name, record in _together_records(metrics):
        _add(flat, name, record)
    for finding, found in metrics["by_finding"].items():
        ending = "" if one_finding else f"_{finding}"
        for split, records in found["metrics"].items():
            for record in records:
                _add(flat, f"{split}_{record['name']}{ending}", record)
        for point, split, record in _point_records(found):
            if one_finding or (point == "served" and record["name"] in SERVED_SHOWN):
                _add(flat, f"{split}_{record['name']}_{point}{ending}", record)
    for baseline in metrics.get("baselines", []):
        for record in baseline["metrics"]:
            ending = "" if one_finding else f"_{record['finding']}"
            _add(flat, f"{record['split']}_auroc_{baseline['name']}{ending}", record)
    return flat


def _together_records(metrics: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for split, several in metrics.get("several", {}).items():
        for record in several["micro"]:
            yield f"{split}_{record['name']}_micro", record
        for kind, records in several["served"].items():
            ending = "served" if kind == "mean" else "served_micro"
            yield from ((f"{split}_{record['name']}_{ending}", record) for record in records)


def _point_records(found: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name, point in found["operating_points"].items():
        for split in ("validation", "test"):
            for record in point[split]["metrics"]:
                yield name, split, record
                if point["served"]:
                    yield "served", split, record


def _add(flat: dict[str, float], name: str, record: dict[str, Any]) -> None:
    for ending, key in (("", "value"), ("_lower", "lower"), ("_upper", "upper")):
        if record[key] is not None:
            flat[name + ending] = float(record[key])


def readable(metrics: dict[str, Any]) -> str:
    """The numbers a person looks for first, as a text table.

    One finding: every metric with its interval and n. Several: one line per finding, then their mean and micro. Below
    it a line for each finding whose served point is not the one that the recipe asks for.
    """
    found = metrics["by_finding"]
    notes = [f"{finding}: {one['served_note']}" for finding, one in found.items() if one.get("served_note")]
    table = _readable_findings(metrics) if len(found) > 1 else _readable_metrics(metrics)
    return "\n".join([table, *notes])


def _readable_metrics(metrics: dict[str, Any]) -> str:
    rows: list[list[object]] = []
    for finding, found in metrics["by_finding"].items():
        for split, records in found["metrics"].items():
            rows += [_row(finding, split, record["name"], record) for record in records]
        for name, point in found["operating_points"].items():
            shown = f"{name}{' (served)' if point['served'] else ''} >= {point['threshold']:.4f}"
            rows += [_row(finding, "test", f"{one['name']} at {shown}", one) for one in point["test"]["metrics"]]
    for baseline in metrics.get("baselines", []):
        rows += [_row(one["finding"], one["split"], f"auroc of {baseline['name']}", one) for one in baseline["metrics"]]
    return text_table(["finding", "split", "metric", "value", "lower", "upper", "n", "note"], rows)


def _readable_findings(metrics: dict[str, Any]) -> str:
    rows: list[list[object]] = []
    for finding, found in metrics["by_finding"].items():
        test, counts = {one["name"]: one for one in found["metrics"]["test"]}, found["counts"]["test"]
        points = [one["test"]["metrics"] for one in found["operating_points"].values() if one["served"]]
        decided = {one["name"]: one for records in points for one in records}
        rows.append(
            [
                finding,
                f"{counts['n_positive']} of {counts['n']}",
                _shown(test["auroc"]),
                _shown(test["average_precision"]),
                _shown(test["prevalence"]),
                _shown(found["raw_half"]["test"][0]),
                *(_shown(decided.get(name)) for name in ("sensitivity", "specificity")),
                _shown(test.get("calibration_intercept")),
                _shown(test.get("calibration_slope")),
                found["reason"],
            ]
        )
    several = metrics["several"]["test"]
    for kind, ranked in (("mean", metrics["mean"]["test"]), ("micro", several["micro"])):
        by_name = {one["name"]: one for one in ranked}
        decided = {one["name"]: one for one in several["served"].get(kind, [])}
        cells = [_shown(by_name.get(name)) for name in ("auroc", "average_precision", "prevalence")]
        shares = [_shown(decided.get(name)) for name in ("sensitivity", "specificity")]
        rows.append([kind, "", *cells, "", *shares, "", "", ""])
    columns = ["finding", "positive", "auroc", "avg. precision", "prevalence", "recall at raw 0.5"]
    return "test split\n" + text_table(
        [*columns, "sensitivity", "specificity", "calib. intercept", "calib. slope", "not assessable"], rows
    )


def _shown(record: dict[str, Any] | None) -> str:
    if record is None or record["value"] is None:
        return "-"
    return f"{record['value']:.3f} ({record['lower']:.3f} to {record['upper']:.3f})"


def _row(finding: str, split: str, name: str, record: dict[str, Any]) -> list[object]:
    return [finding, split, name, record["value"], record["lower"], record["upper"], record["n"], record["reason"]]

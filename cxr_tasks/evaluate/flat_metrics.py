"""The content of ``metrics.json`` for MLflow, as flat names, and for a task's log, as a text table."""

from __future__ import annotations

from collections.abc import Iterator

from cxr_tasks.contracts.evaluation.evaluation import Evaluation
from cxr_tasks.contracts.evaluation.of_finding import MEASURED_SPLITS, FindingEvaluation
from cxr_tasks.contracts.metrics import MetricRecord, by_name
from cxr_tasks.contracts.text_table import text_table

#: Of the served decision of each of several findings; the rest stands in ``metrics.json``.
SERVED_SHOWN = ("sensitivity", "specificity", "ppv", "f1")


def flat_metrics(evaluation: Evaluation) -> dict[str, float]:
    """Every number as MLflow wants it: ``test_auroc``, ``test_auroc_lower``, ``test_sensitivity_served``, ...

    The mean over findings has the plain name, the micro one ends in ``_micro``. With several findings each has its own,
    ending in ``_<finding>``, and of the operating points the served one alone: the others stand in ``metrics.json``.
    """
    flat: dict[str, float] = {}
    one_finding = len(evaluation.findings) == 1
    for split, records in evaluation.mean.items():
        for record in records:
            _add(flat, f"{split}_{record.name}", record)
    for name, record in _together_records(evaluation):
        _add(flat, name, record)
    for finding, measured in evaluation.by_finding.items():
        ending = "" if one_finding else f"_{finding}"
        for split, records in measured.metrics.items():
            for record in records:
                _add(flat, f"{split}_{record.name}{ending}", record)
        for point, split, record in _point_records(measured):
            if one_finding or (point == "served" and record.name in SERVED_SHOWN):
                _add(flat, f"{split}_{record.name}_{point}{ending}", record)
    for baseline in evaluation.baselines:
        for record in baseline.metrics:
            ending = "" if one_finding else f"_{record.finding}"
            _add(flat, f"{record.split}_auroc_{baseline.name}{ending}", record)
    return flat


def _together_records(evaluation: Evaluation) -> Iterator[tuple[str, MetricRecord]]:
    for split, together in evaluation.several.items():
        for record in together.micro:
            yield f"{split}_{record.name}_micro", record
        for kind, records in together.served.items():
            ending = "served" if kind == "mean" else "served_micro"
            yield from ((f"{split}_{record.name}_{ending}", record) for record in records)


def _point_records(measured: FindingEvaluation) -> Iterator[tuple[str, str, MetricRecord]]:
    for name, point in measured.operating_points.items():
        for split in MEASURED_SPLITS:
            for record in point.on(split).metrics:
                yield name, split, record
                if point.served:
                    yield "served", split, record


def _add(flat: dict[str, float], name: str, record: MetricRecord) -> None:
    for ending, number in (("", record.value), ("_lower", record.lower), ("_upper", record.upper)):
        if number is not None:
            flat[name + ending] = float(number)


def readable(evaluation: Evaluation) -> str:
    """The numbers a person looks for first, as a text table.

    One finding: every metric with its interval and n. Several: one line per finding, then their mean and micro. Below
    it a line for each finding whose served point is not the one that the recipe asks for.
    """
    by_finding = evaluation.by_finding
    notes = [f"{finding}: {measured.served_note}" for finding, measured in by_finding.items() if measured.served_note]
    table = _readable_findings(evaluation) if len(by_finding) > 1 else _readable_metrics(evaluation)
    return "\n".join([table, *notes])


def _readable_metrics(evaluation: Evaluation) -> str:
    rows: list[list[object]] = []
    for finding, measured in evaluation.by_finding.items():
        for split, records in measured.metrics.items():
            rows += [_row(finding, split, record.name, record) for record in records]
        for name, point in measured.operating_points.items():
            shown = f"{name}{' (served)' if point.served else ''} >= {point.threshold:.4f}"
            rows += [_row(finding, "test", f"{record.name} at {shown}", record) for record in point.test.metrics]
    for baseline in evaluation.baselines:
        of_baseline = f"auroc of {baseline.name}"
        rows += [_row(record.finding, record.split, of_baseline, record) for record in baseline.metrics]
    return text_table(["finding", "split", "metric", "value", "lower", "upper", "n", "note"], rows)


def _readable_findings(evaluation: Evaluation) -> str:
    rows: list[list[object]] = []
    for finding, measured in evaluation.by_finding.items():
        test, counts, point = by_name(measured.metrics["test"]), measured.counts["test"], measured.served_point
        decided = by_name(point.test.metrics) if point else {}
        rows.append(
            [
                finding,
                f"{counts.n_positive} of {counts.n}",
                _shown(test["auroc"]),
                _shown(test["average_precision"]),
                _shown(test["prevalence"]),
                _shown(measured.raw_half["test"][0]),
                *(_shown(decided.get(name)) for name in ("sensitivity", "specificity")),
                _shown(test.get("calibration_intercept")),
                _shown(test.get("calibration_slope")),
                measured.reason,
            ]
        )
    together = evaluation.several["test"]
    for kind, records in (("mean", evaluation.mean["test"]), ("micro", together.micro)):
        ranked, decided = by_name(records), by_name(together.served.get(kind, ()))
        cells = [_shown(ranked.get(name)) for name in ("auroc", "average_precision", "prevalence")]
        shares = [_shown(decided.get(name)) for name in ("sensitivity", "specificity")]
        rows.append([kind, "", *cells, "", *shares, "", "", ""])
    columns = ["finding", "positive", "auroc", "avg. precision", "prevalence", "recall at raw 0.5"]
    return "test split\n" + text_table(
        [*columns, "sensitivity", "specificity", "calib. intercept", "calib. slope", "not assessable"], rows
    )


def _shown(record: MetricRecord | None) -> str:
    if record is None or record.value is None:
        return "-"
    return f"{record.value:.3f} ({record.lower:.3f} to {record.upper:.3f})"


def _row(finding: str, split: str, name: str, record: MetricRecord) -> list[object]:
    return [finding, split, name, record.value, record.lower, record.upper, record.n, record.reason]

"""The findings of a report: the test records of each by name, and their order."""

from __future__ import annotations

from cxr_tasks.contracts.evaluation.evaluation import Evaluation
from cxr_tasks.contracts.metrics import MetricRecord, by_name

#: Name -> record.
ByName = dict[str, MetricRecord]


def test_records(evaluation: Evaluation, finding: str) -> ByName:
    """Test records of ``finding`` by name, with its served decision's and those at a raw probability of 0.5."""
    measured, point = evaluation.by_finding[finding], evaluation.served_point(finding)
    decided = by_name(point.test.metrics) if point else {}
    return {**decided, **by_name(measured.metrics["test"]), **by_name(measured.raw_half.get("test", ()))}


def ranked_findings(evaluation: Evaluation) -> list[str]:
    """Findings by test AUROC, the highest first; those that cannot be assessed last, in their own order."""

    def place(finding: str) -> tuple[bool, float]:
        value = test_records(evaluation, finding)["auroc"].value
        return value is None or not evaluation.by_finding[finding].assessable, -(value or 0.0)

    return sorted(evaluation.findings, key=place)

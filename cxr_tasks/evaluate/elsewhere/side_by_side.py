"""One finding on two datasets side by side: where the model was trained, and another."""

from __future__ import annotations

from dataclasses import dataclass

from cxr_tasks.contracts.evaluation.evaluation import Evaluation
from cxr_tasks.contracts.evaluation.groups import DatasetRow
from cxr_tasks.contracts.evaluation.of_finding import OperatingPoint
from cxr_tasks.contracts.metrics import record_of
from cxr_tasks.evaluate.subgroups import FEW_POSITIVES, bounds, gap, share, turned
from cxr_tasks.statistics.intervals import Interval, independent_difference
from cxr_tasks.statistics.shares import Comparison, Share


def dataset_rows(
    own: Evaluation, own_name: str, other: Evaluation, other_name: str, split: str
) -> dict[str, tuple[DatasetRow, ...]]:
    """Per finding of ``other`` two rows of one ``split``, the other dataset's and the model's own.

    A gap is the row's value less that of the other
    row, with Newcombe's interval by patient, as the patients are others. ``auroc_gap`` is told too, made from both
    intervals.

    Args:
        own: The model on the dataset it was trained on.
        other: The same elsewhere, at the model's own decisions.
    """
    rows: dict[str, tuple[DatasetRow, ...]] = {}
    for finding in other.findings:
        here, home = (_side(evaluation, finding, split) for evaluation in (other, own))
        rows[finding] = (
            _row(other_name, here, home, other.confidence),
            _row(own_name, home, here, other.confidence),
        )
    return rows


@dataclass(frozen=True, slots=True)
class _Side:
    """One finding on one dataset."""

    n: int
    n_positive: int
    n_patients: int | None
    auroc: Interval | None
    """None where there is none."""
    found: Share
    """Right calls among the positive images."""
    cleared: Share
    """The same among the negative ones."""


def _side(evaluation: Evaluation, finding: str, split: str) -> _Side:
    measured = evaluation.by_finding[finding]
    counts, record = measured.counts[split], record_of(measured.metrics[split], "auroc")
    sensitivity, cleared = (
        _called(measured.served_point, split, measure) for measure in ("sensitivity", "specificity")
    )
    return _Side(
        n=counts.n,
        n_positive=counts.n_positive,
        n_patients=counts.n_patients,
        auroc=Interval.of_record(record),
        found=sensitivity,
        cleared=cleared,
    )


def _called(point: OperatingPoint | None, split: str, measure: str) -> Share:
    """The share of right calls behind ``measure``; of nothing where there is no decision or no such image."""
    record = record_of(point.on(split).metrics, measure) if point else None
    return (Share.of_record(record) if record else None) or Share.independent(0, 0)


def _row(dataset: str, mine: _Side, other: _Side, confidence: float) -> DatasetRow:
    ranked = None
    if mine.auroc is not None and other.auroc is not None:
        ranked = independent_difference(mine.auroc, other.auroc, "from both intervals")
    found_gap = gap(Comparison(mine.found, other.found), confidence)
    return DatasetRow(
        by="dataset",
        value=dataset,
        n=mine.n,
        n_positive=mine.n_positive,
        n_patients=mine.n_patients,
        auroc=bounds(mine.auroc),
        sensitivity=share(mine.found, confidence),
        specificity=share(mine.cleared, confidence),
        auroc_gap=bounds(ranked),
        sensitivity_gap=found_gap,
        false_negative_rate_gap=turned(found_gap),
        specificity_gap=gap(Comparison(mine.cleared, other.cleared), confidence),
        is_weak=mine.n_positive < FEW_POSITIVES,
        is_gap_weak=min(mine.n_positive, other.n_positive) < FEW_POSITIVES,
    )

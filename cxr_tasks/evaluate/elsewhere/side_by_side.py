"""One finding on two datasets side by side: where the model was trained, and another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cxr_tasks.evaluate.assess import record_of, served_point
from cxr_tasks.evaluate.subgroups import FEW_POSITIVES, bounds, gap, share, turned
from cxr_tasks.statistics.intervals import Interval, independent_difference
from cxr_tasks.statistics.shares import Comparison, Share


def dataset_rows(
    own: Mapping[str, Any], own_name: str, other: Mapping[str, Any], other_name: str, split: str
) -> dict[str, list[dict[str, Any]]]:
    """Per finding of ``other`` two rows of one ``split``, the other dataset's and the model's own.

    Rows are those of ``subgroups.subgroup_rows`` with ``by`` dataset: a gap is the row's value less that of the other
    row, with Newcombe's interval by patient, as the patients are others. ``auroc_gap`` is told too, made from both
    intervals.

    Args:
        own: Metrics (the shape of ``assess.assess``) of the model on the dataset it was trained on.
        other: The same elsewhere, at the model's own decisions.
    """
    confidence = float(other["confidence"])
    found = {}
    for finding in other["findings"]:
        here, home = (_side(one, finding, split) for one in (other, own))
        found[finding] = [
            {"by": "dataset", "value": other_name, **_row(here, home, confidence)},
            {"by": "dataset", "value": own_name, **_row(home, here, confidence)},
        ]
    return found


@dataclass(frozen=True, slots=True)
class _Side:
    """One finding on one dataset."""

    n: int
    n_positive: int
    auroc: Interval | None
    """None where there is none."""
    found: Share
    """Right calls among the positive images."""
    cleared: Share
    """The same among the negative ones."""


def _side(metrics: Mapping[str, Any], finding: str, split: str) -> _Side:
    measured = metrics["by_finding"][finding]
    record, point = record_of(measured["metrics"][split], "auroc"), served_point(metrics, finding)
    found, cleared = (_called(point, split, one) for one in ("sensitivity", "specificity"))
    ranked = Interval(record["value"], record["lower"], record["upper"], record["method"])
    return _Side(
        n=measured["counts"][split]["n"],
        n_positive=measured["counts"][split]["n_positive"],
        auroc=None if record["value"] is None else ranked,
        found=found,
        cleared=cleared,
    )


def _called(point: Mapping[str, Any] | None, split: str, measure: str) -> Share:
    """The share of right calls behind ``measure``; of nothing where there is no decision or no such image."""
    record = record_of(point[split]["metrics"], measure) if point else None
    return (Share.of_record(record) if record else None) or Share.independent(0, 0)


def _row(mine: _Side, other: _Side, confidence: float) -> dict[str, Any]:
    ranked = None
    if mine.auroc is not None and other.auroc is not None:
        ranked = independent_difference(mine.auroc, other.auroc, "from both intervals")
    found = gap(Comparison(mine.found, other.found), confidence)
    return {
        "n": mine.n,
        "n_positive": mine.n_positive,
        "auroc": bounds(mine.auroc),
        "sensitivity": share(mine.found, confidence),
        "specificity": share(mine.cleared, confidence),
        "auroc_gap": bounds(ranked),
        "sensitivity_gap": found,
        "false_negative_rate_gap": turned(found),
        "specificity_gap": gap(Comparison(mine.cleared, other.cleared), confidence),
        "is_weak": mine.n_positive < FEW_POSITIVES,
        "is_gap_weak": min(mine.n_positive, other.n_positive) < FEW_POSITIVES,
    }

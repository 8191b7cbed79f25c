"""How far groups of patients are apart in sensitivity: rows, matrix and sentence of a report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cxr_tasks.contracts.evaluation.evaluation import Evaluation
from cxr_tasks.contracts.labels import display_name
from cxr_tasks.contracts.metrics import Bounds
from cxr_tasks.evaluate.subgroups import FEW_POSITIVES, turned
from cxr_tasks.report.page.findings import ranked_findings
from cxr_tasks.statistics.stratified import StratifiedDifference

#: Rows of the table of largest gaps.
MOST_GAPS = 12
#: Heads the column of gaps over all findings (``evaluate.subgroups_together``).
ALL_FINDINGS = "All together"
#: Property -> what stands before its value in the name of a group.
GROUP_WORDS = {"age_years": "Age", "sub_label": "Label", "sex": "Sex", "view": "View", "source": "Source"}


@dataclass(frozen=True, slots=True)
class Gap:
    """A group's sensitivity less that of all others."""

    bounds: Bounds
    is_weak: bool
    """Fewer than ``FEW_POSITIVES`` positives in the group or among all others."""

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out 0 and both sides hold enough positives to say so."""
        return not self.is_weak and self.bounds.leaves_out_zero


@dataclass(frozen=True, slots=True, kw_only=True)
class GapRow:
    """One group of one finding's test images with its gap in sensitivity, and that of the false-negative rate."""

    finding: str
    group: str
    n: int
    n_positive: int
    sensitivity: Bounds | None
    gap: Bounds | None
    missed_gap: Bounds | None
    """The gap with the other sign."""
    is_weak: bool
    is_gap_weak: bool

    @property
    def shown_gap(self) -> Gap | None:
        return None if self.gap is None else Gap(self.gap, self.is_gap_weak)

    @property
    def is_clear(self) -> bool:
        """Whether there is a gap, and it is clear (``Gap``)."""
        return self.shown_gap is not None and self.shown_gap.is_clear

    @property
    def name(self) -> str:
        return display_name(self.finding)


def gap_rows(evaluation: Evaluation) -> list[GapRow]:
    """Every group of every assessable finding."""
    rows = []
    for finding in evaluation.findings:
        measured = evaluation.by_finding[finding]
        rows += [
            GapRow(
                finding=finding, group=f"{GROUP_WORDS.get(row.by, row.by)} {row.value}", n=row.n,
                n_positive=row.n_positive, sensitivity=row.sensitivity, gap=row.sensitivity_gap,
                missed_gap=turned(row.sensitivity_gap), is_weak=row.is_weak, is_gap_weak=row.is_gap_weak,
            )
            for row in (measured.subgroups if measured.assessable else ())
        ]  # fmt: skip
    return rows


def clearly_missed(rows: list[GapRow]) -> list[tuple[GapRow, Bounds]]:
    """The groups that are clearly missed more often than all others, and their gaps; the worst first."""
    missed = [(row, row.gap) for row in rows if row.is_clear and row.gap is not None and row.gap.value < 0]
    return sorted(missed, key=lambda pair: pair[1].value)


def gaps_sentence(evaluation: Evaluation) -> str:
    """How many gaps are clear of 0, and how many chance alone would make so."""
    firm = [row for row in gap_rows(evaluation) if row.gap is not None and not row.is_gap_weak]
    if not firm:
        return "No group and its rest hold 20 positives each of any finding: nothing can be said of gaps."
    n_clear, by_chance = sum(row.is_clear for row in firm), (1.0 - evaluation.confidence) * len(firm)
    return (
        f"{n_clear} of {len(firm)} gaps (20 positives or more on both sides) have an interval that leaves out 0; about "
        f"{by_chance:.0f} would by chance alone."
    )


def gap_sections(evaluation: Evaluation) -> dict[str, Any]:
    """Gaps as a matrix of groups by findings, and the largest that are clear of 0."""
    rows = gap_rows(evaluation)
    findings = [finding for finding in ranked_findings(evaluation) if evaluation.by_finding[finding].assessable]
    place = {(row.group, row.finding): row for row in rows}
    clear = sorted((row for row in rows if row.is_clear), key=lambda row: -abs(row.gap.value) if row.gap else 0.0)
    together = gaps_together(evaluation)
    names = [display_name(finding) for finding in findings]
    return {
        "names": [*names, ALL_FINDINGS] if together else names,
        "groups": [
            {
                "name": group,
                "cells": [
                    *(
                        _gap_cell(row.shown_gap if row else None)
                        for row in (place.get((group, finding)) for finding in findings)
                    ),
                    *([_gap_cell(together.get(group))] if together else []),
                ],
            }
            for group in dict.fromkeys(row.group for row in rows)
        ],
        "sentence": gaps_sentence(evaluation),
        "largest": clear[:MOST_GAPS],
    }


def gaps_together(evaluation: Evaluation) -> dict[str, Gap]:
    """Group -> its gap over all findings; none of metrics of before findings were taken together."""
    gaps = {}
    for row in evaluation.several["test"].subgroups:
        if row.sensitivity is not None:
            difference = StratifiedDifference.of_facts(row.sensitivity)
            interval = difference.interval(evaluation.confidence)
            gaps[f"{GROUP_WORDS.get(row.by, row.by)} {row.value}"] = Gap(
                Bounds(interval.value, interval.lower, interval.upper), is_weak=min(difference.n) < FEW_POSITIVES
            )
    return gaps


def _gap_cell(shown: Gap | None) -> dict[str, Any]:
    if shown is None:
        return {"text": "", "is_clear": False, "is_weak": False, "side": "", "size": 0.0}
    gap = shown.bounds.value
    side = ("below" if gap < 0 else "above") if shown.is_clear else ""
    size = min(abs(gap) / 0.3, 1.0)
    return {
        "text": f"{gap:+.2f}",
        "is_clear": shown.is_clear,
        "is_weak": shown.is_weak,
        "side": side,
        "size": size,
    }

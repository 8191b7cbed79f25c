"""All findings within subgroups of the test split: is a group served worse, whatever the finding?

A group of few patients has too few of any one finding to show that it is missed, and enough of all findings together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from cxr_tasks.contracts.evaluation.groups import StratifiedFacts, TogetherRow
from cxr_tasks.evaluate.decided import Decided
from cxr_tasks.evaluate.subgroups import groups_of
from cxr_tasks.statistics.patients import patient_numbers
from cxr_tasks.statistics.stratified import Stratum, stratified_difference

#: The images that each measure is of: those with the finding, or those without it.
MEASURES = {"sensitivity": True, "specificity": False}


def subgroups_together(decided: Sequence[Decided], predictions: pd.DataFrame) -> tuple[TogetherRow, ...]:
    """One row per value of source, view, sex and age band: for sensitivity and specificity of the served decisions
    what the group's gap to all other images with a known value is made from, None where there are no two sides of two
    patients.

    A property with one value only is left out, as by ``subgroups.subgroup_rows``.
    """
    if not decided:
        return ()
    keys = np.concatenate([decision.rows.patient_key for decision in decided])
    ends = np.cumsum([decision.rows.n for decision in decided])[:-1]
    patients = np.split(patient_numbers(keys), ends)
    grouped = [groups_of(decision.rows, predictions) for decision in decided]
    return tuple(
        TogetherRow(
            by=by,
            value=name,
            **{
                measure: _gap(decided, patients, [groups[by] for groups in grouped], name, measure)
                for measure in MEASURES
            },
        )
        for by, name in _names(grouped)
    )


def _names(grouped: Sequence[dict[str, np.ndarray]]) -> Iterator[tuple[str, str]]:
    for by in grouped[0]:
        values = {str(value) for groups in grouped for value in np.unique(groups[by])}
        if len(values) > 1:
            yield from ((by, name) for name in sorted(values - {"", "unknown"}))


def _gap(
    decided: Sequence[Decided], patients: Sequence[np.ndarray], values: Sequence[np.ndarray], name: str, measure: str
) -> StratifiedFacts | None:
    strata = []
    for decision, patient, value in zip(decided, patients, values, strict=True):
        of_class = decision.rows.is_positive == MEASURES[measure]
        member, is_known = value == name, ~np.isin(value, ("", "unknown"))
        strata.append(
            Stratum(
                decision.is_called == decision.rows.is_positive,
                patient,
                member & of_class,
                is_known & ~member & of_class,
            )
        )
    difference = stratified_difference(strata)
    return None if difference is None else difference.facts()

"""One finding within subgroups of the test split: does the model rank and decide worse for some images?"""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from cxr_tasks.contracts.evaluation.groups import SubgroupRow
from cxr_tasks.contracts.metrics import Bounds
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.table import Scored
from cxr_tasks.statistics.auroc_intervals import auroc_interval
from cxr_tasks.statistics.intervals import Interval
from cxr_tasks.statistics.patients import images_each, patient_numbers
from cxr_tasks.statistics.shares import Comparison, Share

AGE_BANDS = (0, 20, 40, 60, 80, 200)
#: Fewer positives than this, and a row is marked as weak evidence.
FEW_POSITIVES = 20


def subgroup_rows(
    rows: Scored, is_called: np.ndarray, predictions: pd.DataFrame, index: pd.DataFrame | None, spec: EvaluateSpec
) -> tuple[SubgroupRow, ...]:
    """One row per value of source, view, sex, age band and (from ``index``) finer label of the source.

    ``is_called`` (bool, an entry for each image of ``rows``) is the served decision. ``predictions`` and ``index`` are
    the tables of ``contracts.records`` and of the prepared dataset; both may hold more images.

    A property with one value only is left out: it splits nothing. ``is_weak`` are groups with fewer than
    ``FEW_POSITIVES``, ``is_gap_weak`` those with fewer in the group or among all others. Measured are, where there is
    something to measure:

    - ``auroc`` (DeLong), where both classes have ``min_positives`` images in the group, and two patients;
    - ``sensitivity`` and ``specificity`` of the served decision (Wilson);
    - ``sensitivity_gap``, ``false_negative_rate_gap`` and ``specificity_gap``: the group's less that of all other
      images with a known value of the property (Newcombe); the second is the first with the other sign.

    All of them count patients, also those with images in the group and outside it. ``compared.<measure>`` holds what
    the gap is made from (``shares.Comparison.facts``), so that it can be made again at another confidence.
    """
    groups, patient = groups_of(rows, predictions), patient_numbers(rows.patient_key)
    if index is not None and "sub_label" in index.columns:
        finer = index.set_index("image_id")["sub_label"].reindex(rows.image_id).fillna("")
        groups["sub_label"] = finer.astype(str).to_numpy()
    measured = []
    for by, values in groups.items():
        is_known = ~np.isin(values, ("", "unknown"))
        names = sorted(set(values[is_known]))
        if len(set(values)) > 1:
            measured += [_row(by, name, rows, patient, values == name, is_known, is_called, spec) for name in names]
    return tuple(measured)


def groups_of(rows: Scored, predictions: pd.DataFrame) -> dict[str, np.ndarray]:
    """Source, view, sex and age band -> each image's value, str ``(n,)``; empty or ``unknown`` where it is not told."""
    described = predictions.set_index("image_id").loc[rows.image_id]
    groups = {name: described[name].astype(str).to_numpy() for name in ("source", "view", "sex")}
    return {**groups, "age_years": _age_bands(described["age_years"].to_numpy(float))}


def _age_bands(age_years: np.ndarray) -> np.ndarray:
    names = np.array([f"{low}-{high - 1}" if high < 200 else f"{low}+" for low, high in itertools.pairwise(AGE_BANDS)])
    band = np.clip(np.digitize(np.nan_to_num(age_years), AGE_BANDS) - 1, 0, len(names) - 1)
    return np.where(np.isnan(age_years), "unknown", names[band])


def _row(
    by: str,
    value: str,
    rows: Scored,
    patient: np.ndarray,
    member: np.ndarray,
    is_known: np.ndarray,
    is_called: np.ndarray,
    spec: EvaluateSpec,
) -> SubgroupRow:
    rest, is_right = is_known & ~member, rows.is_positive == is_called
    sensitivity, cleared = (
        Comparison.of(is_right, patient, member & of_class, rest & of_class)
        for of_class in (rows.is_positive, ~rows.is_positive)
    )
    ranked = None
    if min(sensitivity.one.n, cleared.one.n) >= spec.min_positives and _has_two_patients(rows, patient, member):
        ranked = auroc_interval(rows.is_positive[member], rows.logit[member], spec.confidence, patient[member])
    missed = gap(sensitivity, spec.confidence)
    return SubgroupRow(
        by=by,
        value=value,
        n=int(member.sum()),
        n_positive=sensitivity.one.n,
        n_patients=int(np.unique(patient[member]).size),
        auroc=bounds(ranked),
        sensitivity=share(sensitivity.one, spec.confidence),
        specificity=share(cleared.one, spec.confidence),
        sensitivity_gap=missed,
        false_negative_rate_gap=turned(missed),
        specificity_gap=gap(cleared, spec.confidence),
        is_weak=sensitivity.one.n < FEW_POSITIVES,
        is_gap_weak=min(sensitivity.one.n, sensitivity.other.n) < FEW_POSITIVES,
        compared={"sensitivity": sensitivity.facts(), "specificity": cleared.facts()},
    )


def _has_two_patients(rows: Scored, patient: np.ndarray, member: np.ndarray) -> bool:
    """Whether images of each class among the members are of two patients or more."""
    each = (images_each(patient, member & of_class) for of_class in (rows.is_positive, ~rows.is_positive))
    return all(np.count_nonzero(n_images) > 1 for n_images in each)


def bounds(interval: Interval | None) -> Bounds | None:
    """Of a measure that there may not be."""
    return None if interval is None else Bounds(interval.value, interval.lower, interval.upper)


def share(of_images: Share, confidence: float) -> Bounds | None:
    """A share with its interval; None of nothing."""
    return bounds(of_images.interval(confidence)) if of_images.n else None


def gap(compared: Comparison, confidence: float) -> Bounds | None:
    """A share less the other, with the interval of the difference; None where one is of nothing."""
    return bounds(compared.difference(confidence)) if compared.one.n and compared.other.n else None


def turned(gap: Bounds | None) -> Bounds | None:
    """The gap of the opposite rate: of the false-negative rate from that of the sensitivity.

    >>> turned(Bounds(-0.1, -0.3, 0.2))
    Bounds(value=0.1, lower=-0.2, upper=0.3)
    """
    return None if gap is None else Bounds(0.0 - gap.value, 0.0 - gap.upper, 0.0 - gap.lower)

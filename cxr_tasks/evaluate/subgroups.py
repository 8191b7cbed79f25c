"""One finding within subgroups of the test split: does the model rank and decide worse for some images?"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd

from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.intervals import Interval, auroc_interval, newcombe, wilson
from cxr_tasks.evaluate.operating_points import confusion
from cxr_tasks.evaluate.table import Scored

AGE_BANDS = (0, 20, 40, 60, 80, 200)
#: Fewer positives than this, and a row is marked as weak evidence.
FEW_POSITIVES = 20


def subgroup_rows(
    rows: Scored, is_called: np.ndarray, predictions: pd.DataFrame, index: pd.DataFrame | None, spec: EvaluateSpec
) -> list[dict[str, Any]]:
    """One row per value of source, view, sex, age band and (from ``index``) finer label of the source.

    A property with one value only is left out: it splits nothing. Each row has n, n_positive, ``is_weak`` (fewer than
    ``FEW_POSITIVES`` in the group) and ``is_gap_weak`` (in the group or among all others), and as ``[value, lower,
    upper]``, or null where there is nothing to measure:

    - ``auroc`` (DeLong), where both classes have ``min_positives`` images in the group;
    - ``sensitivity`` and ``specificity`` of the served decision (Wilson);
    - ``sensitivity_gap``, ``false_negative_rate_gap`` and ``specificity_gap``: the group's less that of all other
      images with a known value of the property (Newcombe); the second is the first with the other sign.
    """
    described = predictions.set_index("image_id").loc[rows.image_id]
    groups = {name: described[name].astype(str).to_numpy() for name in ("source", "view", "sex")}
    groups["age_years"] = _age_bands(described["age_years"].to_numpy(float))
    if index is not None and "sub_label" in index.columns:
        finer = index.set_index("image_id")["sub_label"].reindex(rows.image_id).fillna("")
        groups["sub_label"] = finer.astype(str).to_numpy()
    found = []
    for by, values in groups.items():
        is_known = ~np.isin(values, ("", "unknown"))
        names = sorted(set(values[is_known]))
        if len(set(values)) > 1:
            found += [
                {"by": by, "value": name, **_row(rows, values == name, is_known, is_called, spec)} for name in names
            ]
    return found


def _age_bands(age_years: np.ndarray) -> np.ndarray:
    names = np.array([f"{low}-{high - 1}" if high < 200 else f"{low}+" for low, high in itertools.pairwise(AGE_BANDS)])
    band = np.clip(np.digitize(np.nan_to_num(age_years), AGE_BANDS) - 1, 0, len(names) - 1)
    return np.where(np.isnan(age_years), "unknown", names[band])


def _row(
    rows: Scored, member: np.ndarray, is_known: np.ndarray, is_called: np.ndarray, spec: EvaluateSpec
) -> dict[str, Any]:
    rest = is_known & ~member
    tp, fp, fn, tn = confusion(rows.is_positive[member], is_called[member]).values()
    other_tp, other_fp, other_fn, other_tn = confusion(rows.is_positive[rest], is_called[rest]).values()
    enough = min(tp + fn, fp + tn) >= spec.min_positives
    missed = gap((tp, tp + fn), (other_tp, other_tp + other_fn), spec.confidence)
    ranked = auroc_interval(rows.is_positive[member], rows.logit[member], spec.confidence) if enough else None
    return {
        "n": int(member.sum()),
        "n_positive": tp + fn,
        "auroc": bounds(ranked),
        "sensitivity": share(tp, tp + fn, spec.confidence),
        "specificity": share(tn, tn + fp, spec.confidence),
        "sensitivity_gap": missed,
        "false_negative_rate_gap": turned(missed),
        "specificity_gap": gap((tn, tn + fp), (other_tn, other_tn + other_fp), spec.confidence),
        "is_weak": tp + fn < FEW_POSITIVES,
        "is_gap_weak": min(tp + fn, other_tp + other_fn) < FEW_POSITIVES,
    }


def bounds(one: Interval | None) -> list[float] | None:
    """``[value, lower, upper]``."""
    return None if one is None else [one.value, one.lower, one.upper]


def share(hits: int, n: int, confidence: float) -> list[float] | None:
    """``hits`` of ``n`` with its Wilson interval; None of nothing."""
    return bounds(wilson(hits, n, confidence)) if n else None


def gap(one: tuple[int, int], rest: tuple[int, int], confidence: float) -> list[float] | None:
    """The share ``one`` (hits, n) less the share ``rest``, with Newcombe's interval; None where one is of nothing."""
    return bounds(newcombe(*one, *rest, confidence)) if one[1] and rest[1] else None


def turned(gap: list[float] | None) -> list[float] | None:
    """The gap of the opposite rate: of the false-negative rate from that of the sensitivity.

    >>> turned([-0.1, -0.3, 0.2])
    [0.1, -0.2, 0.3]
    """
    return None if gap is None else [0.0 - gap[place] for place in (0, 2, 1)]

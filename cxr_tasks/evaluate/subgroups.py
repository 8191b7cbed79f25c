"""The served decision within subgroups of the test split: does it serve some images worse than others?"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd

from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.intervals import wilson
from cxr_tasks.evaluate.operating_points import confusion
from cxr_tasks.evaluate.table import Scored

AGE_BANDS = (0, 20, 40, 60, 80, 200)
#: Fewer positives than this, and a row is marked as weak evidence.
FEW_POSITIVES = 20


def subgroup_rows(
    rows: Scored, is_called: np.ndarray, predictions: pd.DataFrame, index: pd.DataFrame | None, spec: EvaluateSpec
) -> list[dict[str, Any]]:
    """One row per value of source, view, sex, age band and (from ``index``) finer label of the source.

    A property with one value only is left out: it splits nothing. Each row has n, n_positive, sensitivity and
    specificity as ``[value, lower, upper]`` (Wilson) or null where there is nothing to divide by, and ``is_weak``.
    """
    described = predictions.set_index("image_id").loc[rows.image_id]
    groups = {name: described[name].astype(str).to_numpy() for name in ("source", "view", "sex")}
    groups["age_years"] = _age_bands(described["age_years"].to_numpy(float))
    if index is not None and "sub_label" in index.columns:
        finer = index.set_index("image_id")["sub_label"].reindex(rows.image_id).fillna("")
        groups["sub_label"] = finer.astype(str).to_numpy()
    found = []
    for by, values in groups.items():
        names = sorted(set(values) - {"", "unknown"})
        if len(set(values)) > 1:
            found += [{"by": by, "value": name, **_row(rows, values == name, is_called, spec)} for name in names]
    return found


def _age_bands(age_years: np.ndarray) -> np.ndarray:
    names = np.array([f"{low}-{high - 1}" if high < 200 else f"{low}+" for low, high in itertools.pairwise(AGE_BANDS)])
    band = np.clip(np.digitize(np.nan_to_num(age_years), AGE_BANDS) - 1, 0, len(names) - 1)
    return np.where(np.isnan(age_years), "unknown", names[band])


def _row(rows: Scored, member: np.ndarray, is_called: np.ndarray, spec: EvaluateSpec) -> dict[str, Any]:
    tp, fp, fn, tn = confusion(rows.is_positive[member], is_called[member]).values()
    return {
        "n": int(member.sum()),
        "n_positive": tp + fn,
        "sensitivity": _share(tp, tp + fn, spec),
        "specificity": _share(tn, tn + fp, spec),
        "is_weak": tp + fn < FEW_POSITIVES,
    }


def _share(hits: int, n: int, spec: EvaluateSpec) -> list[float] | None:
    if n == 0:
        return None
    one = wilson(hits, n, spec.confidence)
    return [one.value, one.lower, one.upper]

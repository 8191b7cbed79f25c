"""One row per finding: how often it is present and absent, and in which split one of the two is missing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from cxr_tasks.contracts.labels import SPLITS, LabelState, label_column

#: States that training may take as absent: CheXpert's blanks are "not mentioned", and as a rule not there.
ABSENT = (LabelState.NEGATIVE, LabelState.UNMENTIONED)
#: Two-sided 95 %.
_Z = 1.96


def label_table(manifest: pd.DataFrame, findings: Sequence[str]) -> pd.DataFrame:
    """The table that the suite ``manifest_findings_...`` is about; findings whose columns are missing are left out.

    Columns: ``finding``, ``n_present``, ``n_absent`` (negative or not mentioned), ``n_uncertain``, ``share_present``
    (of present and absent; 0 where there are none), ``missing`` (text such as ``test: present``, empty where every
    split holds both), ``gap_to_validation`` (see :func:`gap`), ``n_complete_findings`` (findings with nothing
    missing; the same in every row).
    """
    rows = [_row(manifest, finding) for finding in findings if {label_column(finding), "split"} <= set(manifest)]
    table = pd.DataFrame(
        rows, columns=["finding", "n_present", "n_absent", "n_uncertain", "share_present", "missing",
                       "gap_to_validation"],
    )  # fmt: skip
    table["n_complete_findings"] = int((table["missing"] == "").sum())
    return table


def _row(manifest: pd.DataFrame, finding: str) -> dict[str, object]:
    state, split = manifest[label_column(finding)], manifest["split"]
    is_present, is_absent = state == LabelState.POSITIVE, state.isin([str(name) for name in ABSENT])
    present = {name: int((is_present & (split == name)).sum()) for name in SPLITS}
    absent = {name: int((is_absent & (split == name)).sum()) for name in SPLITS}
    missing = [
        f"{name}: {word}"
        for name in SPLITS
        for word, counts in (("present", present), ("absent", absent))
        if not counts[name]
    ]
    n_present, n_absent = int(is_present.sum()), int(is_absent.sum())
    return {
        "finding": finding,
        "n_present": n_present,
        "n_absent": n_absent,
        "n_uncertain": int((state == LabelState.UNCERTAIN).sum()),
        "share_present": n_present / max(n_present + n_absent, 1),
        "missing": ", ".join(missing),
        "gap_to_validation": gap(present["train"], absent["train"], present["validation"], absent["validation"]),
    }


def gap(present: int, absent: int, other_present: int, other_absent: int) -> float:
    """How far two shares lie apart beyond chance: the lower 95 % limit of Cohen's h; 0 where one has no images.

    h = 2 |asin sqrt(p1) - asin sqrt(p2)| has the standard error sqrt(1/n1 + 1/n2) whatever the shares, so that one
    bound serves findings of 0.2 % and of 70 %. Between shares near one half, 0.1 of it are 5 points.

    Source: Cohen, Statistical Power Analysis for the Behavioral Sciences (1988), chapter 6.

    >>> gap(500, 500, 500, 500)
    0.0
    """
    n_one, n_other = present + absent, other_present + other_absent
    if not n_one or not n_other:
        return 0.0
    angles = [2 * math.asin(math.sqrt(share)) for share in (present / n_one, other_present / n_other)]
    return float(np.clip(abs(angles[0] - angles[1]) - _Z * math.sqrt(1 / n_one + 1 / n_other), 0, None))

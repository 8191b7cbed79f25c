"""Label states as a dataset stores them, and what they are worth as targets of a score."""

from __future__ import annotations

import numpy as np

from cxr_tasks.contracts.errors import DataDefect, chosen
from cxr_tasks.contracts.label_policies import LabelSpec
from cxr_tasks.contracts.labels import LabelState

#: How label states are stored, in ``LoadedSplit.states`` as in the dataset itself.
CODES: dict[LabelState, int] = {state: code for code, state in enumerate(LabelState)}
#: What an unmentioned label counts as.
UNMENTIONED = {"zeros": 0.0, "ignore": np.nan}


def states_of(labels: np.ndarray) -> np.ndarray:
    """Label states, uint8 ``(n, k)``, of labels 1, 0 or NaN; NaN alone tells no more than that it is not known.

    Raises:
        DataDefect: Another value stands among the labels.
    """
    is_positive, is_negative, is_unknown = labels == 1, labels == 0, np.isnan(labels)
    is_other = ~(is_positive | is_negative | is_unknown)
    if is_other.any():
        raise DataDefect(f"labels: expected 0, 1 or NaN, found {labels[is_other][0]} and {is_other.sum() - 1} more")
    codes = [CODES[LabelState.POSITIVE], CODES[LabelState.NEGATIVE]]
    return np.select([is_positive, is_negative], codes, CODES[LabelState.UNCERTAIN]).astype(np.uint8)


def evaluation_targets(states: np.ndarray, spec: LabelSpec) -> np.ndarray:
    """What a model is scored against, float32 ``(n, k)``: 0, 1, or NaN where the label is uncertain.

    Not mentioned is 0 or NaN as ``spec.unmentioned`` says, so that validation asks what training was taught.
    """
    by_code = {
        LabelState.POSITIVE: 1.0,
        LabelState.NEGATIVE: 0.0,
        LabelState.UNCERTAIN: np.nan,
        LabelState.UNMENTIONED: chosen(UNMENTIONED, spec.unmentioned, "train.labels.unmentioned"),
    }
    return np.array([by_code[state] for state in LabelState], np.float32)[states]

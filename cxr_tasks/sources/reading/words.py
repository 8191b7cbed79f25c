"""Words in the cells of a table: states of a finding, and names as people spell them."""

from __future__ import annotations

from cxr_tasks.contracts.labels import LabelState

#: What a cell of a finding may hold, in any case.
STATES = {
    **{state.value: state for state in LabelState},
    "": LabelState.UNMENTIONED,
    "1": LabelState.POSITIVE,
    "1.0": LabelState.POSITIVE,
    "0": LabelState.NEGATIVE,
    "0.0": LabelState.NEGATIVE,
    "-1": LabelState.UNCERTAIN,
    "-1.0": LabelState.UNCERTAIN,
}


#: Splits as folders and cells name them, in small letters.
SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "development": "validation",
    "test": "test",
    "testing": "test",
}


def state_of(cell: str) -> LabelState | None:
    """The state that a cell says, in any case, its number with a point or a comma; None where it says none.

    >>> state_of("Positive"), state_of("-1,0"), state_of("maybe")
    (<LabelState.POSITIVE: 'positive'>, <LabelState.UNCERTAIN: 'uncertain'>, None)
    """
    return STATES.get(cell.lower().replace(",", "."))


def as_name(text: str) -> str:
    """A name as the code has it.

    >>> as_name("Pleural Effusion"), as_name("Request-ID")
    ('pleural_effusion', 'request_id')
    """
    return text.strip().lower().replace(" ", "_").replace("-", "_")

"""Findings: the one place where their names, order and spellings are written down."""

from __future__ import annotations

from enum import StrEnum

from cxr_tasks.contracts.errors import DataDefect


class LabelState(StrEnum):
    """What a source says of one finding in one image."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    UNCERTAIN = "uncertain"
    UNMENTIONED = "unmentioned"


#: Findings of each vocabulary in pinned order: the order of every label vector, model output and report.
VOCABULARIES: dict[str, tuple[str, ...]] = {
    "pneumonia": ("pneumonia",),
    "nih14": (
        "atelectasis",
        "cardiomegaly",
        "pleural_effusion",
        "infiltration",
        "mass",
        "nodule",
        "pneumonia",
        "pneumothorax",
        "consolidation",
        "edema",
        "emphysema",
        "fibrosis",
        "pleural_thickening",
        "hernia",
    ),
}

VIEWS = ("pa", "ap", "lateral", "unknown")
SEXES = ("female", "male", "unknown")
SPLITS = ("train", "validation", "test")


def findings_of(vocabulary: str) -> tuple[str, ...]:
    """The findings of ``vocabulary`` in pinned order; an unknown name is a ``DataDefect`` listing the known ones."""
    try:
        return VOCABULARIES[vocabulary]
    except KeyError:
        raise DataDefect(f"vocabulary {vocabulary!r} is not known; known: {', '.join(VOCABULARIES)}") from None


def shared_findings(one: str, other: str) -> tuple[str, ...]:
    """The findings that two vocabularies share, in the order of the first.

    >>> shared_findings("pneumonia", "nih14")
    ('pneumonia',)
    """
    others = findings_of(other)
    return tuple(finding for finding in findings_of(one) if finding in others)


def display_name(finding: str) -> str:
    """``pleural_effusion`` as people read it: ``Pleural effusion``."""
    return finding.replace("_", " ").capitalize()


def label_column(finding: str) -> str:
    """Manifest and index column that holds the label state of ``finding``."""
    return f"label_{finding}"

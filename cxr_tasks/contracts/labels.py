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
    "chexpert14": (
        "no_finding",
        "enlarged_cardiomediastinum",
        "cardiomegaly",
        "lung_opacity",
        "lung_lesion",
        "edema",
        "consolidation",
        "pneumonia",
        "atelectasis",
        "pneumothorax",
        "pleural_effusion",
        "pleural_other",
        "fracture",
        "support_devices",
    ),
    # What NIH ChestX-ray14 and CheXpert both label: the common ground for training on one and testing on the other.
    "shared7": (
        "atelectasis",
        "cardiomegaly",
        "consolidation",
        "edema",
        "pleural_effusion",
        "pneumonia",
        "pneumothorax",
    ),
}

#: Spelling of a source -> finding. ``No Finding`` of NIH is the absence of all and stands in no vocabulary of its own.
NIH_SPELLINGS: dict[str, str] = {
    "Atelectasis": "atelectasis",
    "Cardiomegaly": "cardiomegaly",
    "Effusion": "pleural_effusion",
    "Infiltration": "infiltration",
    "Mass": "mass",
    "Nodule": "nodule",
    "Pneumonia": "pneumonia",
    "Pneumothorax": "pneumothorax",
    "Consolidation": "consolidation",
    "Edema": "edema",
    "Emphysema": "emphysema",
    "Fibrosis": "fibrosis",
    "Pleural_Thickening": "pleural_thickening",
    "Hernia": "hernia",
}
#: Column of CheXpert's tables -> finding, in the order of the columns.
CHEXPERT_SPELLINGS: dict[str, str] = {
    "No Finding": "no_finding",
    "Enlarged Cardiomediastinum": "enlarged_cardiomediastinum",
    "Cardiomegaly": "cardiomegaly",
    "Lung Opacity": "lung_opacity",
    "Lung Lesion": "lung_lesion",
    "Edema": "edema",
    "Consolidation": "consolidation",
    "Pneumonia": "pneumonia",
    "Atelectasis": "atelectasis",
    "Pneumothorax": "pneumothorax",
    "Pleural Effusion": "pleural_effusion",
    "Pleural Other": "pleural_other",
    "Fracture": "fracture",
    "Support Devices": "support_devices",
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

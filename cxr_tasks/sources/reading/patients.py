"""Whether there are patients enough for three splits, and how a source is told who they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cxr_tasks.contracts.labels import SPLITS

if TYPE_CHECKING:
    import pandas as pd

#: How each source knows patients apart; what to do for the others is for whoever wrote them.
_NAMED_BY = {
    "dicom": "name the patients in a column 'patient' of the table of labels, where PatientID (0010,0020) of the files "
    "is not theirs, as an anonymiser leaves it",
    "kermany": "see that the numbers in the file names are those of the patients",
    "nih": "see that the label table's column 'Patient ID' tells patients apart",
    "chexpert": "see that the folders patientNNNNN tell patients apart",
}
_OTHER_SOURCES = "see that the source tells patients apart"


def splits_fault(images: pd.DataFrame, source: str) -> str:
    """What is wrong with the patients where a split has no image, and what to do; '' where each has one.

    A patient is in one split only, so it takes at least as many patients as splits.

    Args:
        images: Columns ``patient_id`` and ``split``, a row per image.
    """
    empty = [name for name in SPLITS if not (images["split"] == name).any()]
    if not empty or not len(images):
        return ""
    counts = images["patient_id"].value_counts()
    if len(counts) == 1:
        of_whom = f"all {len(images)} images are of one patient"
    else:
        of_whom = f"the {len(images)} images are of {len(counts)} patients, {counts.iloc[0]} of them of one"
    return (
        f"{of_whom}: no image is left for {', '.join(empty)}, as a patient is in one split only and equal pictures "
        f"stay together. Bring images of more patients, or {_NAMED_BY.get(source, _OTHER_SOURCES)}"
    )


def crowded(images: pd.DataFrame, source: str) -> str:
    """A warning where one patient has more than half of the images, as anonymisers leave it; else an empty text."""
    counts = images["patient_id"].value_counts()
    if not len(counts) or counts.iloc[0] * 2 <= len(images) or len(images) <= 2 * len(SPLITS):
        return ""
    return (
        f"one patient has {counts.iloc[0]} of the {len(images)} images: is it one? If not, "
        f"{_NAMED_BY.get(source, _OTHER_SOURCES)}"
    )

"""Whether there are patients enough for three splits, and how a source is told who they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cxr_tasks.contracts.labels import SPLITS
from cxr_tasks.sources.base import about_source

if TYPE_CHECKING:
    import pandas as pd


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
        f"stay together. Bring images of more patients, or {about_source(source).patients}"
    )


def crowded(images: pd.DataFrame, source: str) -> str:
    """A warning where one patient has more than half of the images, as anonymisers leave it; else an empty text."""
    counts = images["patient_id"].value_counts()
    if not len(counts) or counts.iloc[0] * 2 <= len(images) or len(images) <= 2 * len(SPLITS):
        return ""
    return (
        f"one patient has {counts.iloc[0]} of the {len(images)} images: is it one? If not, "
        f"{about_source(source).patients}"
    )

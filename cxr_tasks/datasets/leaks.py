"""Which images of an evaluation a model has seen in training: by what they are, not by what their dataset is called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Overlap:
    """Of some images which were seen, and by what that is known; bool arrays ``(n,)`` in their order."""

    by_file: np.ndarray
    """The very file."""
    by_pixels: np.ndarray
    """The same pixels in another file."""
    by_look: np.ndarray
    """Nearly the same picture (``images.duplicates``)."""
    by_patient: np.ndarray
    """Another image of a patient who was seen."""
    n_without_patient: int
    """Images whose patients cannot be compared: keys made with another salt or secret."""
    n_without_pixels: int
    """Images whose pixels cannot be compared: datasets prepared before hashes of pixels were kept."""

    @property
    def is_seen(self) -> np.ndarray:
        """bool ``(n,)``: by any of the four."""
        return self.by_file | self.by_pixels | self.by_look | self.by_patient

    @property
    def n_seen(self) -> int:
        """How many images were seen."""
        return int(self.is_seen.sum())

    def sentence(self, what: str, whom: str) -> str:
        """``what``: of which images, such as ``test images``; ``whom``: who has seen them."""
        counts = {
            "the same file": self.by_file,
            "the same pixels in another file": self.by_pixels & ~self.by_file,
            "nearly the same picture": self.by_look & ~self.by_pixels & ~self.by_file,
            "another image of a patient": self.by_patient & ~self.by_look & ~self.by_pixels & ~self.by_file,
        }
        told = ", ".join(f"{int(count.sum())} by {name}" for name, count in counts.items() if count.any())
        n = len(self.by_file)
        known = f": {told}" if told else ""
        return f"{self.n_seen} of {n} {what} are of images or patients that {whom} was trained on{known}.{self._gaps()}"

    def _gaps(self) -> str:
        told = []
        if self.n_without_patient:
            told.append(f"the patients of {self.n_without_patient} images, whose keys were made with another salt")
        if self.n_without_pixels:
            told.append(f"the pixels of {self.n_without_pixels} images, of which no hash was kept")
        return f" Not compared: {' and '.join(told)}." if told else ""


def overlap_of(images: pd.DataFrame, seen: pd.DataFrame) -> Overlap:
    """Which of ``images`` are among ``seen``, or of their patients; both have the columns of ``datasets.content``.

    Patients are compared within a source, as two sources may both have a patient 1, and where keys are of one scheme.
    """
    by_pixels, by_look = _pictures(images, seen)
    patients = [_patients(table) for table in (images, seen)]
    schemes = set(zip(seen["source"], seen["patient_scheme"], strict=True))
    sources = set(seen["source"])
    lost = [
        source in sources and (source, scheme) not in schemes
        for source, scheme in zip(images["source"], images["patient_scheme"], strict=True)
    ]
    has_pixels = images["pixel_hash"] != ""
    return Overlap(
        by_file=images["file_sha256"].isin(seen["file_sha256"]).to_numpy(bool),
        by_pixels=by_pixels,
        by_look=by_look,
        by_patient=patients[0].isin(patients[1]).to_numpy(bool),
        n_without_patient=sum(lost),
        n_without_pixels=len(images) if (seen["pixel_hash"] == "").any() else int((~has_pixels).sum()),
    )


def _patients(content: pd.DataFrame) -> pd.Series:
    return content["source"] + "\0" + content["patient_scheme"] + "\0" + content["patient_key"]


def _pictures(images: pd.DataFrame, seen: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Which of ``images`` have the pixels of one of ``seen``, and which are nearly one of them, also over steps."""
    import pandas as pd

    from cxr_tasks.images.duplicates import duplicate_groups

    known = set(seen["pixel_hash"]) - {""}
    by_pixels = images["pixel_hash"].isin(known).to_numpy(bool)
    # One of each is enough, and a model's record may hold a picture twice: its own and its starting weights'.
    looks = seen.loc[seen["perceptual_hash"] != "", ["pixel_hash", "perceptual_hash"]].drop_duplicates()
    both = pd.concat([images[["pixel_hash", "perceptual_hash"]], looks], ignore_index=True)
    both["image_id"] = [f"{number:012d}" for number in range(len(both))]
    groups = duplicate_groups(both)
    mine, theirs = groups[: len(images)], set(groups[len(images) :]) - {""}
    return by_pixels, mine.isin(theirs).to_numpy(bool)

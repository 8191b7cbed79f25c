"""Deal patients to train, validation and test: by the source's own test split and a salted hash, never by chance.

A patient is never in two splits, and neither are two files with the same pixels: patients who share a picture under
different names are dealt as one.
"""

from __future__ import annotations

import hashlib
import logging

import pandas as pd

from cxr_tasks.contracts.labels import LabelState
from cxr_tasks.contracts.specs import SplitSpec

logger = logging.getLogger(__name__)


def assign_splits(
    patient_id: pd.Series,
    official_split: pd.Series,
    labels: pd.DataFrame,
    spec: SplitSpec,
    pixel_sha256: pd.Series | None = None,
) -> pd.Series:
    """The split of every image: ``train``, ``validation`` or ``test``, on the index of ``patient_id``.

    An official test split is kept; official train and validation are pooled and cut anew. Without an official test
    split, ``spec.test`` of the patients make one. A patient's place follows from the hash of the patient's id alone,
    so it stays when patients are added, and shares hold in the mean, not to the patient. Where that leaves a split
    without the positive or the negative state of a finding, the patient of that state whose hash is nearest is moved
    there, as long as another stays behind; what cannot be mended is left for validation to report.

    Args:
        official_split: ``""`` where the source gives none.
        labels: One column of ``LabelState`` per finding.
        spec: Salt and shares.
        pixel_sha256: With it, patients who share a picture stay together: on the side of test, else of validation.
    """
    group = _linked_patients(patient_id, pixel_sha256)
    is_official_test = official_split == "test"
    in_test = is_official_test.groupby(group).transform("any")
    place = _places(patient_id, spec.salt).groupby(group).transform("min")
    has_official_test = bool(is_official_test.any())
    test_share = 0.0 if has_official_test else spec.test
    split = pd.Series("train", index=patient_id.index, dtype="object")
    split[place < test_share + (1 - test_share) * spec.validation] = "validation"
    split[place < test_share] = "test"
    split[in_test] = "test"
    free = group[~in_test]
    mended = ("validation",) if test_share == 0 else ("test", "validation")
    for name in mended:
        _mend(split, name, free, place, labels)
    _log_moves(patient_id, official_split, split)
    return split.astype("str")


def _places(patient_id: pd.Series, salt: str) -> pd.Series:
    """A number in [0, 1) per image from its patient's id and the salt; uniform over patients."""
    place_of = {
        patient: int.from_bytes(hashlib.sha256(f"{salt}\0{patient}".encode()).digest()[:7], "big") / 2**56
        for patient in patient_id.unique()
    }
    return patient_id.map(place_of).astype(float)


def _linked_patients(patient_id: pd.Series, pixel_sha256: pd.Series | None) -> pd.Series:
    """A key per image that patients share who are linked by equal pixels, also over several steps."""
    leader: dict[str, str] = {patient: patient for patient in patient_id.unique()}

    def lead(patient: str) -> str:
        while leader[patient] != patient:
            leader[patient] = leader[leader[patient]]
            patient = leader[patient]
        return patient

    if pixel_sha256 is not None:
        repeated = pixel_sha256.duplicated(keep=False)
        for _, patients in patient_id[repeated].groupby(pixel_sha256[repeated]):
            first, *others = sorted({lead(patient) for patient in patients})
            for other in others:
                leader[other] = first
    return patient_id.map({patient: lead(patient) for patient in leader})


def _mend(split: pd.Series, name: str, free: pd.Series, place: pd.Series, labels: pd.DataFrame) -> None:
    """Move patients from train to ``name``, in place, where a state of a finding is missing there."""
    for finding in labels.columns:
        for state in (LabelState.POSITIVE, LabelState.NEGATIVE):
            has_state = labels[finding] == state.value
            if (has_state & (split == name)).any():
                continue
            rows = free.index[has_state.loc[free.index] & (split.loc[free.index] == "train")]
            candidates = pd.DataFrame({"group": free.loc[rows], "place": place.loc[rows]}).drop_duplicates()
            if len(candidates) < 2:
                continue
            moved = candidates.sort_values(["place", "group"])["group"].iloc[0]
            split[free.index[free == moved]] = name
            logger.info("%s: no %s image of %s by hash; one patient moved there from train", name, state, finding)


def _log_moves(patient_id: pd.Series, official_split: pd.Series, split: pd.Series) -> None:
    moved = (split == "test") & (official_split != "test") & (official_split != "")
    if moved.any():
        logger.warning(
            "%d images of %d patients moved from official train or validation to test: the same patient or the same "
            "pixels are in the official test split",
            int(moved.sum()),
            patient_id[moved].nunique(),
        )
    shares = patient_id.groupby(split).nunique() / patient_id.nunique()
    logger.info("patients per split: %s", ", ".join(f"{name} {share:.1%}" for name, share in shares.items()))

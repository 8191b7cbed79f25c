"""Deal patients to train, validation and test: by the source's own test split and a salted hash, never by chance.

A patient is never in two splits, and neither is a picture: patients who share one (or two nearly equal ones) are dealt
together, as one group. Who goes where, the first rule that applies:

1. Official test: a group with an image of it goes there whole.
2. Known: a patient keeps the split that the last prepared version gave. Where newly found copies link known patients
   of several splits, the group goes to test before validation before train.
3. New: by the salted hash of the patient's id.
4. Mending, of new patients only: findings that chance has served badly are evened out (see ``_stratify``).

So only the official test split or a shared picture moves a patient once dealt, and both are counted in the log.
"""

from __future__ import annotations

import hashlib
import logging

import pandas as pd

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.labels import SPLITS
from cxr_tasks.contracts.specs import SplitSpec
from cxr_tasks.prepare.stratify import Pool, stratify

logger = logging.getLogger(__name__)

#: Where a group goes that belongs to several: a picture seen in test must not be trained on.
_STRONGEST_FIRST = ("test", "validation", "train")


def assign_splits(
    patient_id: pd.Series,
    official_split: pd.Series,
    labels: pd.DataFrame,
    spec: SplitSpec,
    duplicate_group: pd.Series | None = None,
    previous: pd.Series | None = None,
) -> pd.Series:
    """The split of every image: ``train``, ``validation`` or ``test``, on the index of ``patient_id``.

    An official test split is kept and makes the whole test split; official train and validation are pooled and cut
    anew. Without one, ``spec.test`` of the patients make test. Shares hold in the mean, not to the patient.

    Args:
        official_split: ``""`` where the source gives none.
        labels: One column of ``LabelState`` per finding.
        spec: Salt and shares.
        duplicate_group: Images of one value show one picture; ``""`` stands for none.
        previous: Patient id -> split in the last prepared version (``prepare.latest.previous_splits``); patients that
            are not in it are new. A known patient of an earlier test split that is no more in the official one, where
            there is one, is dealt anew.

    Raises:
        DataDefect: ``previous`` holds a word that is no split.
    """
    known = _known(patient_id, previous)
    group = _linked_patients(patient_id, duplicate_group)
    in_official_test = (official_split == "test").groupby(group).any()
    has_official_test = bool(in_official_test.any())
    shares = _shares(spec, has_official_test=has_official_test)
    if has_official_test:
        known = known.where(known != "test", "")
    place = _places(patient_id, spec.salt).groupby(group).min()
    kept = _strongest(known, group)
    pool = in_official_test.index[~in_official_test]
    split_of = pd.Series("test", index=in_official_test.index, dtype="object")
    split_of[pool] = stratify(
        Pool.of(labels, group, pool),
        split=kept[pool].where(kept[pool] != "", _by_hash(place[pool], shares)).to_numpy(dtype=object),
        place=place[pool].to_numpy(),
        is_free=(kept[pool] == "").to_numpy(),
        shares=shares,
    )
    split = group.map(split_of).astype("str")
    if has_official_test:
        _log_moves_to_test(patient_id, official_split, split)
    if previous is not None:
        _log_moves_of_known(patient_id, split, previous, group.map(in_official_test))
    n_patients = patient_id.groupby(split).nunique()
    logger.info(
        "patients per split: %s", ", ".join(f"{name} {n / n_patients.sum():.1%}" for name, n in n_patients.items())
    )
    return split


def _shares(spec: SplitSpec, *, has_official_test: bool) -> dict[str, float]:
    """Share of the patients to deal that each split but train should have, test first."""
    test = 0.0 if has_official_test else spec.test
    validation = {"validation": (1 - test) * spec.validation}
    return {"test": test, **validation} if test else validation


def _known(patient_id: pd.Series, previous: pd.Series | None) -> pd.Series:
    """Per image the split that its patient had; ``""`` for new patients."""
    if previous is None:
        return pd.Series("", index=patient_id.index, dtype="object")
    unknown = sorted(set(previous) - set(SPLITS))
    if unknown:
        raise DataDefect(f"previous splits: expected {', '.join(SPLITS)}, found {unknown[0]!r}")
    return patient_id.map(previous).astype("object").fillna("")


def _strongest(known: pd.Series, group: pd.Series) -> pd.Series:
    """Per group the split that it keeps: the strongest of its known patients; ``""`` where all are new."""
    kept = pd.Series("", index=pd.Index(sorted(set(group))), dtype="object")
    for name in reversed(_STRONGEST_FIRST):
        kept[group[known == name].unique()] = name
    return kept


def _by_hash(place: pd.Series, shares: dict[str, float]) -> pd.Series:
    """The split of each place in [0, 1): test has the lowest, validation the next, train the rest."""
    split = pd.Series("train", index=place.index, dtype="object")
    end = 0.0
    for name, share in shares.items():
        split[(place >= end) & (place < end + share)] = name
        end += share
    return split


def _places(patient_id: pd.Series, salt: str) -> pd.Series:
    """A number in [0, 1) per image from its patient's id and the salt; uniform over patients."""
    place_of = {
        patient: int.from_bytes(hashlib.sha256(f"{salt}\0{patient}".encode()).digest()[:7], "big") / 2**56
        for patient in patient_id.unique()
    }
    return patient_id.map(place_of).astype(float)


def _linked_patients(patient_id: pd.Series, duplicate_group: pd.Series | None) -> pd.Series:
    """A key per image that patients share who are linked by a picture, also over several steps."""
    leader: dict[str, str] = {patient: patient for patient in patient_id.unique()}

    def lead(patient: str) -> str:
        while leader[patient] != patient:
            leader[patient] = leader[leader[patient]]
            patient = leader[patient]
        return patient

    if duplicate_group is not None:
        shared = duplicate_group.fillna("") != ""
        for _, patients in patient_id[shared].groupby(duplicate_group[shared]):
            first, *others = sorted({lead(patient) for patient in patients})
            for other in others:
                leader[other] = first
    return patient_id.map({patient: lead(patient) for patient in leader})


def _log_moves_to_test(patient_id: pd.Series, official_split: pd.Series, split: pd.Series) -> None:
    moved = (split == "test") & (official_split != "test") & (official_split != "")
    if moved.any():
        logger.warning(
            "%d images of %d patients moved from official train or validation to test: the same patient or the same "
            "picture is in the official test split",
            int(moved.sum()),
            patient_id[moved].nunique(),
        )


def _log_moves_of_known(
    patient_id: pd.Series, split: pd.Series, previous: pd.Series, in_official_test: pd.Series
) -> None:
    """Say how many patients of the last version changed split, and why; nothing else can move them."""
    was = patient_id.map(previous)
    is_moved = was.notna() & (was != split)
    if not is_moved.any():
        return
    to_official = is_moved & in_official_test
    from_official = is_moved & (was == "test") & ~in_official_test
    by_picture = is_moved & ~to_official & ~from_official
    counts = [patient_id[rows].nunique() for rows in (is_moved, to_official, from_official, by_picture)]
    logger.warning(
        "%d patients of the last version changed split: %d are in the official test split now, %d are there no more, "
        "%d share a picture with a patient of another split",
        *counts,
    )

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

import numpy as np
import pandas as pd

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.labels import SPLITS
from cxr_tasks.contracts.specs import SplitSpec
from cxr_tasks.ingest.grouping.stratify import Pool, stratify

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
        previous: Patient id -> split in the last prepared version (``datasets.latest.previous_splits``); patients that
            are not in it are new. A known patient of an earlier test split that is no more in the official one, where
            there is one, is dealt anew.

    Raises:
        DataDefect: ``previous`` holds a word that is no split.
    """
    # Patients by number, in the order of their ids: 100,000 of them as text would take most of the memory of an ingest.
    patient, names = _numbered(patient_id)
    known = _known(names, previous)
    leader = _leaders(patient, len(names), duplicate_group)
    is_official = (official_split == "test").to_numpy(dtype=bool)
    in_official_test = np.zeros(len(names), bool)
    in_official_test[leader[patient[is_official]]] = True
    has_official_test = bool(in_official_test.any())
    shares = _shares(spec, has_official_test=has_official_test)
    if has_official_test:
        known[known == "test"] = ""
    place = np.ones(len(names))
    np.minimum.at(place, leader, _places(names, spec.salt))
    kept = _strongest(known, leader)
    groups = np.unique(leader)
    pool = groups[~in_official_test[groups]]
    number_in_pool = np.full(len(names), -1)
    number_in_pool[pool] = np.arange(len(pool))
    split_of = np.full(len(names), "test", dtype=object)
    split_of[pool] = stratify(
        Pool.of(labels, number_in_pool[leader[patient]], pd.RangeIndex(len(pool))),
        split=np.where(kept[pool] != "", kept[pool], _by_hash(place[pool], shares)),
        place=place[pool],
        is_free=kept[pool] == "",
        shares=shares,
    )
    dealt = split_of[leader]
    split = pd.Series(dealt[patient], index=patient_id.index, dtype="str")
    if has_official_test:
        _log_moves_to_test(patient, official_split, split)
    if previous is not None:
        _log_moves_of_known(names, dealt, previous, in_official_test[leader])
    logger.info(
        "patients per split: %s",
        ", ".join(f"{name} {(dealt == name).mean():.1%}" for name in sorted(set(dealt))),
    )
    return split


def _numbered(patient_id: pd.Series) -> tuple[np.ndarray, pd.Index]:
    """The patient of each image by number, and the ids in sorted order, which the numbers are places in."""
    # As ``pd.factorize(sort=True)``, which makes a Python object of each id.
    code, names = pd.factorize(patient_id)
    order = names.argsort()
    rank = np.empty(len(names), np.intp)
    rank[order] = np.arange(len(names))
    return rank[code], names.take(order)


def _shares(spec: SplitSpec, *, has_official_test: bool) -> dict[str, float]:
    """Share of the patients to deal that each split but train should have, test first."""
    test = 0.0 if has_official_test else spec.test
    validation = {"validation": (1 - test) * spec.validation}
    return {"test": test, **validation} if test else validation


def _known(names: pd.Index, previous: pd.Series | None) -> np.ndarray:
    """Per patient the split that the last version gave, as object; ``""`` for new patients."""
    known = np.full(len(names), "", dtype=object)
    if previous is None:
        return known
    unknown = sorted(set(previous) - set(SPLITS))
    if unknown:
        raise DataDefect(f"previous splits: expected {', '.join(SPLITS)}, found {unknown[0]!r}")
    place = names.get_indexer(pd.Index(previous.index, dtype=names.dtype))
    known[place[place >= 0]] = previous.to_numpy(dtype=object)[place >= 0]
    return known


def _strongest(known: np.ndarray, leader: np.ndarray) -> np.ndarray:
    """At each leader the split that its group keeps: the strongest of its known patients; ``""`` where all are new."""
    kept = np.full(len(leader), "", dtype=object)
    for name in reversed(_STRONGEST_FIRST):
        kept[leader[known == name]] = name
    return kept


def _by_hash(place: np.ndarray, shares: dict[str, float]) -> np.ndarray:
    """The split of each place in [0, 1): test has the lowest, validation the next, train the rest."""
    split = np.full(len(place), "train", dtype=object)
    end = 0.0
    for name, share in shares.items():
        split[(place >= end) & (place < end + share)] = name
        end += share
    return split


def _places(names: pd.Index, salt: str) -> np.ndarray:
    """A number in [0, 1) per patient from its id and the salt; uniform over patients."""
    digests = (hashlib.sha256(f"{salt}\0{name}".encode()).digest() for name in names)
    return np.fromiter((int.from_bytes(digest[:7], "big") / 2**56 for digest in digests), np.float64, len(names))


def _leaders(patient: np.ndarray, n_patients: int, duplicate_group: pd.Series | None) -> np.ndarray:
    """Per patient the first of those that share a picture with it, also over several steps: itself where none does."""
    leader = np.arange(n_patients)

    def lead(member: int) -> int:
        while leader[member] != member:
            leader[member] = leader[leader[member]]
            member = leader[member]
        return member

    if duplicate_group is not None:
        shared = (duplicate_group.fillna("") != "").to_numpy(dtype=bool)
        code, _ = pd.factorize(duplicate_group[shared])
        for _, patients in pd.Series(patient[shared]).groupby(code):
            first, *others = sorted({lead(member) for member in patients})
            leader[others] = first
    # A leader comes before all it leads.
    for follower in np.flatnonzero(leader != np.arange(n_patients)):
        leader[follower] = leader[leader[follower]]
    return leader


def _log_moves_to_test(patient: np.ndarray, official_split: pd.Series, split: pd.Series) -> None:
    moved = ((split == "test") & (official_split != "test") & (official_split != "")).to_numpy(dtype=bool)
    if moved.any():
        logger.warning(
            "%d images of %d patients moved from official train or validation to test: the same patient or the same "
            "picture is in the official test split",
            int(moved.sum()),
            len(np.unique(patient[moved])),
        )


def _log_moves_of_known(names: pd.Index, split: np.ndarray, previous: pd.Series, in_official_test: np.ndarray) -> None:
    """Say how many patients of the last version changed split, and why; nothing else can move them."""
    was = _known(names, previous)
    is_moved = (was != "") & (was != split)
    if not is_moved.any():
        return
    to_official = is_moved & in_official_test
    from_official = is_moved & (was == "test") & ~in_official_test
    by_picture = is_moved & ~to_official & ~from_official
    logger.warning(
        "%d patients of the last version changed split: %d are in the official test split now, %d are there no more, "
        "%d share a picture with a patient of another split",
        *(int(member.sum()) for member in (is_moved, to_official, from_official, by_picture)),
    )

"""Even out what chance did to rare findings, by moving as few patients as can be from where their hash put them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxr_tasks.contracts.labels import LabelState

logger = logging.getLogger(__name__)

#: How far the images of a finding in a split may be off the split's share before patients are moved for it.
TOLERANCE = 0.05


@dataclass(frozen=True, slots=True)
class Pool:
    """Groups of patients that may be dealt, and how many of their images show which state of which finding."""

    states: tuple[str, ...]
    """What the columns of ``n_images`` are, for the log: ``positive label_edema``, ..."""
    n_images: np.ndarray
    """int ``(n_groups, n_states)``"""

    @classmethod
    def of(cls, labels: pd.DataFrame, group: pd.Series | np.ndarray, groups: pd.Index) -> Pool:
        """The states of ``groups``: per finding positive and negative; ``group`` is that of each row of ``labels``.

        A row of none of the groups does not count; with groups 0 to n - 1, its group is -1.

        Where no image is called negative, as for CheXpert's ``no_finding``, all that is not positive stands for it.
        """
        # Numbers in a range need no table to look them up in.
        is_range = isinstance(groups, pd.RangeIndex) and groups.equals(pd.RangeIndex(len(groups)))
        place = np.asarray(group) if is_range else groups.get_indexer(pd.Index(group))
        columns: dict[str, np.ndarray] = {}
        for finding in labels.columns:
            is_positive, is_negative = (
                (labels[finding] == state.value).to_numpy() for state in (LabelState.POSITIVE, LabelState.NEGATIVE)
            )
            columns[f"positive {finding}"] = is_positive
            if is_negative.any():
                columns[f"negative {finding}"] = is_negative
            else:
                columns[f"not positive {finding}"] = ~is_positive
        n_images = np.zeros((len(groups), len(columns)), np.int64)
        for number, has_state in enumerate(columns.values()):
            n_images[:, number] = np.bincount(place[has_state & (place >= 0)], minlength=len(groups))
        return cls(tuple(columns), n_images)


def stratify(
    pool: Pool, *, split: np.ndarray, place: np.ndarray, is_free: np.ndarray, shares: Mapping[str, float]
) -> np.ndarray:
    """The split of each group, moved between train and the splits of ``shares`` where needed; a new array.

    States are taken from the rarest to the commonest, after Sechidis, Tsoumakas & Vlahavas (ECML 2011): where a
    split's images of a state are more than ``TOLERANCE`` off its share, groups are moved that show no rarer state, so
    what was evened out stays so. Then each state that a split still lacks is brought there. No move takes the last
    group of any state from a split; what cannot be mended so is left for validation to report.

    Args:
        split: object ``(n_groups,)``, the split by hash or the known one.
        place: float ``(n_groups,)``, the hash in [0, 1); those nearest to a split's range are moved first.
        is_free: bool ``(n_groups,)``; only these are moved.
        shares: Share of the pool that each split but train should have.
    """
    dealt, carries = split.copy(), pool.n_images > 0
    n_carriers = carries.sum(axis=0)
    rarest = np.where(carries, n_carriers, len(split) + 1).argmin(axis=1)
    by_place = np.argsort(place, kind="stable")
    by_place = by_place[is_free[by_place]]
    for state in np.argsort(n_carriers, kind="stable"):
        movable = by_place[rarest[by_place] == state]
        for name, share in shares.items():
            _even_out(pool.n_images[:, state], carries, dealt, movable, name, share)
    n_moved = int((dealt != split).sum())
    if n_moved:
        logger.info("%d new patients moved from where their hash put them, to spread findings evenly", n_moved)
    for state, text in enumerate(pool.states):
        for name in (*shares, "train"):
            if not carries[dealt == name, state].any():
                _bring(state, text, carries, dealt, by_place, name)
    return dealt


def _even_out(
    n_images: np.ndarray, carries: np.ndarray, split: np.ndarray, movable: np.ndarray, name: str, share: float
) -> None:
    """Move groups of ``movable`` (by place) between train and split ``name`` while that brings it nearer, in place."""
    wanted = share * n_images.sum()
    lacking = wanted - n_images[split == name].sum()
    donor, taker = ("train", name) if lacking > 0 else (name, "train")
    donors = movable[split[movable] == donor]
    n_left = carries[split == donor].sum(axis=0)
    for group in donors if lacking > 0 else donors[::-1]:
        if abs(lacking) <= TOLERANCE * wanted:
            return
        moved = n_images[group] if taker == name else -n_images[group]
        is_last = (carries[group] & (n_left == 1)).any()
        if abs(lacking - moved) < abs(lacking) and not is_last:
            split[group] = taker
            lacking -= moved
            n_left -= carries[group]


def _bring(state: int, text: str, carries: np.ndarray, split: np.ndarray, movable: np.ndarray, name: str) -> None:
    """Move one group of ``movable`` (by place) that shows ``state`` to split ``name``, in place."""
    for donor in ("train", "validation", "test"):
        is_donor = split == donor
        is_last = carries & (carries[is_donor].sum(axis=0) == 1)
        rows = movable[is_donor[movable] & carries[movable, state] & ~is_last[movable].any(axis=1)]
        if donor != name and len(rows):
            # From the end of the donor's range that is nearest to the split's own.
            split[rows[-1 if name == "train" else 0]] = name
            logger.info("%s: no image is %s by hash; one new patient moved there from %s", name, text, donor)
            return

"""Groups of images that are one picture: equal pixels, or perceptual hashes that differ in few bits.

Nearly equal hashes are found by multi-index hashing (Norouzi, Punjani & Fleet, CVPR 2012): the 256 bits are cut into
13 pieces, and two hashes that differ in at most 24 bits differ in at most one bit in one of the pieces. So only
hashes that agree that far in a piece are compared as a whole, and memory does not grow with the number of pairs.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from cxr_tasks.contracts.errors import DataDefect

HASH_BITS = 256
#: Largest Hamming distance of two hashes of one picture. Chest X-rays all look alike, so it is measured, on 2,623 real
#: ones (Kermany, NIH): of different patients the nearest two are 40 (Kermany) and 56 (NIH) apart, medians 118 and 120.
#: Of their copies it finds: as JPEG of quality 20, at half the size, twice the size or as a square, with 20 % more
#: brightness, 30 % less contrast or noise of 10 levels, more than 99.8 %; at a third of the size without smoothing, or
#: with a gamma of 0.7, 98 %; with 1 % cut from every edge, 95 %; turned by a degree, a third. Mirrored, inverted, with
#: equalised greys or cut by 2 % and more, a copy is not found as a rule.
NEAR_BITS = 24
N_PIECES = 13
_PIECE_NEAR_BITS = NEAR_BITS // N_PIECES
#: Candidate pairs compared at a time: 64 bytes each.
_BLOCK_PAIRS = 2**20


def duplicate_groups(images: pd.DataFrame) -> pd.Series:
    """Smallest ``image_id`` among the images that are one picture with this one; ``''`` where there is no other.

    Chains count: where a is near b and b near c, all three are one group. An empty perceptual hash is near nothing.

    Args:
        images: Columns ``image_id``, ``pixel_hash`` and ``perceptual_hash`` (64 hex digits).

    Raises:
        DataDefect: A perceptual hash is not 64 hex digits.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(images)
    if not n:
        return pd.Series([], index=images.index, dtype="str")
    pairs = [_equal(images["pixel_hash"]), _equal(images["perceptual_hash"]), _near(images["perceptual_hash"])]
    first, second = (np.concatenate(ends) for ends in zip(*pairs, strict=True))
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(n, n))
    _, component = connected_components(graph, directed=False)
    members = pd.Series(images["image_id"].to_numpy()).groupby(component)
    group = members.transform("min").where(members.transform("size") > 1, "")
    return pd.Series(group.to_numpy(), index=images.index, dtype="str")


def _equal(values: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Each place paired with the first of the same value; empty values are equal to nothing."""
    code, names = pd.factorize(values)
    first_of = np.full(len(names), len(code))
    np.minimum.at(first_of, code, np.arange(len(code)))
    place = np.flatnonzero((first_of[code] != np.arange(len(code))) & (values != "").to_numpy())
    return first_of[code[place]], place


def _near(hashes: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Places of all pairs of different hashes within ``NEAR_BITS``; of equal ones only the first place stands."""
    distinct = pd.Series(hashes.to_numpy()).drop_duplicates()
    distinct = distinct[distinct != ""]
    words = _as_words(distinct)
    near = [
        (one[is_near], other[is_near])
        for one, other in _candidates(words)
        if (is_near := _distance(words[one], words[other]) <= NEAR_BITS).any()
    ]
    place = distinct.index.to_numpy()
    return tuple(place[np.concatenate([ends[side] for ends in near] or [np.array([], int)])] for side in (0, 1))  # type: ignore[return-value]


def _as_words(hashes: pd.Series) -> np.ndarray:
    """uint64 ``(n, 4)`` of hashes as hex text."""
    is_hash = hashes.str.fullmatch(f"[0-9a-fA-F]{{{HASH_BITS // 4}}}").astype(bool)
    if not is_hash.all():
        raise DataDefect(
            f"column perceptual_hash: expected {HASH_BITS // 4} hex digits, found {hashes[~is_hash].iloc[0]!r} "
            f"({(~is_hash).sum()} such); run ingest again"
        )
    return np.frombuffer(bytes.fromhex("".join(hashes)), ">u8").astype(np.uint64).reshape(-1, HASH_BITS // 64)


def _distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.bitwise_count(one ^ other).sum(axis=1, dtype=np.int64)


def _candidates(words: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Places of pairs that agree in a piece but for ``_PIECE_NEAR_BITS`` (1) bits, by blocks; pairs may come again."""
    bits = np.unpackbits(words.astype(">u8").view(np.uint8), axis=1)
    for piece in range(N_PIECES):
        # Every 13th bit: neighbouring bits (frequencies) of a hash go together, and would make pieces less telling.
        columns = bits[:, piece::N_PIECES].astype(np.uint32)
        width = columns.shape[1]
        key = (columns << np.arange(width, dtype=np.uint32)).sum(axis=1, dtype=np.uint32)
        order = np.argsort(key, kind="stable")
        start = np.concatenate([[0], np.cumsum(np.bincount(key, minlength=2**width))])
        # Equal in the piece: with those that follow in the same bucket.
        yield from _in_blocks(order, order, np.arange(1, len(key) + 1), start[key[order] + 1])
        for bit in range(width):
            clear = np.flatnonzero(~key & (1 << bit))
            flipped = key[clear] | (1 << bit)
            yield from _in_blocks(clear, order, start[flipped], start[flipped + 1])


def _in_blocks(
    one: np.ndarray, order: np.ndarray, first: np.ndarray, end: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each of ``one`` with all of ``order[first:end]``, as two arrays of places, about ``_BLOCK_PAIRS`` at a time."""
    n_each = np.maximum(end - first, 0)
    has_any = n_each > 0
    one, first, n_each = one[has_any], first[has_any], n_each[has_any]
    until = np.cumsum(n_each)
    begin = 0
    while begin < len(one):
        done = until[begin - 1] if begin else 0
        stop = max(int(np.searchsorted(until, done + _BLOCK_PAIRS, side="right")), begin + 1)
        counts = n_each[begin:stop]
        offset = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        yield np.repeat(one[begin:stop], counts), order[np.repeat(first[begin:stop], counts) + offset]
        begin = stop

"""Groups of images that are one picture: equal pixels, or perceptual hashes that differ in few bits.

Nearly equal hashes are found by multi-index hashing (Norouzi, Punjani & Fleet, CVPR 2012): the 256 bits are cut into
13 pieces, and two hashes that differ in at most 24 bits differ in at most one bit in one of the pieces. So only
hashes that agree that far in a piece are compared as a whole, and memory does not grow with the number of pairs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

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
#: Candidate pairs compared at a time, about 150 bytes each.
_BLOCK_PAIRS = 2**16
#: Bytes of the digest that stands for a pixel hash: two of a billion images share one with a chance of 1e-21.
_KEY_BYTES = 16


def duplicate_groups(images: pd.DataFrame) -> pd.Series:
    """Smallest ``image_id`` among the images that are one picture with this one; ``''`` where there is no other.

    Chains count: where a is near b and b near c, all three are one group. An empty perceptual hash is near nothing.

    Args:
        images: Columns ``image_id``, ``pixel_hash`` and ``perceptual_hash`` (64 hex digits).

    Raises:
        DataDefect: A perceptual hash is not 64 hex digits.
    """
    groups = duplicate_groups_of(lambda: iter([images]))
    groups.index = images.index
    return groups


def duplicate_groups_of(batches: Callable[[], Iterator[pd.DataFrame]]) -> pd.Series:
    """``duplicate_groups`` of all batches as one table, from 0; they are asked for twice, and one is held at a time.

    Of an image stay about 100 bytes.
    """
    component = _components(*_packed(batches()))
    has_twin = np.bincount(component)[component] > 1 if len(component) else np.zeros(0, bool)
    group = np.full(len(component), "", dtype=object)
    if has_twin.any():
        # Few images have a twin; only their names are taken out of the tables.
        members = pd.Series(list(_chosen(batches(), has_twin)), dtype="object").groupby(component[has_twin])
        group[has_twin] = members.transform("min").to_numpy()
    return pd.Series(group, dtype="str")


def _packed(batches: Iterator[pd.DataFrame]) -> tuple[np.ndarray, np.ndarray]:
    """Keys ``(n, 2)`` of pixel hashes and words ``(n, 4)`` of perceptual ones, uint64; all bits of an empty one set."""
    keys, words = bytearray(), bytearray()
    for images in batches:
        for text in images["pixel_hash"]:
            keys += hashlib.blake2b(text.encode(), digest_size=_KEY_BYTES).digest() if text else b"\xff" * _KEY_BYTES
        words += _hash_bytes(images["perceptual_hash"])
    return tuple(  # type: ignore[return-value]
        np.frombuffer(held, ">u8").astype(np.uint64).reshape(-1, size // 8)
        for held, size in ((keys, _KEY_BYTES), (words, HASH_BITS // 8))
    )


def _hash_bytes(hashes: pd.Series) -> bytes:
    hashes = hashes.where(hashes != "", "f" * (HASH_BITS // 4))
    is_hash = hashes.str.fullmatch(f"[0-9a-fA-F]{{{HASH_BITS // 4}}}").astype(bool)
    if not is_hash.all():
        raise DataDefect(
            f"column perceptual_hash: expected {HASH_BITS // 4} hex digits, found {hashes[~is_hash].iloc[0]!r} "
            f"({(~is_hash).sum()} such); run ingest again"
        )
    return bytes.fromhex("".join(hashes))


def _chosen(batches: Iterator[pd.DataFrame], is_chosen: np.ndarray) -> Iterator[str]:
    """``image_id`` of the rows of ``is_chosen``."""
    done = 0
    for images in batches:
        yield from images["image_id"].to_numpy(dtype=object)[is_chosen[done : done + len(images)]]
        done += len(images)


def _components(keys: np.ndarray, words: np.ndarray) -> np.ndarray:
    """int ``(n,)``: the same number where images are one picture."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(keys)
    if not n:
        return np.zeros(0, np.int64)
    pairs = [_equal(keys), _equal(words), _near(words)]
    first, second = (np.concatenate(ends) for ends in zip(*pairs, strict=True))
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(n, n))
    return connected_components(graph, directed=False)[1]


def _is_empty(words: np.ndarray) -> np.ndarray:
    """Whether all bits are set. No perceptual hash is: as many frequencies are above their median as below."""
    return (words == np.uint64(2**64 - 1)).all(axis=1)


def _sorted_places(words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places of the rows that are not empty, sorted by their values, and which of them is equal to the one before."""
    places = np.flatnonzero(~_is_empty(words))
    places = places[np.lexsort(words[places].T)]
    ordered = words[places]
    return places, np.concatenate([[False], (ordered[1:] == ordered[:-1]).all(axis=1)]) if len(places) else places > 0


def _equal(words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each place paired with the one before of the same value; empty values are equal to nothing."""
    places, is_repeated = _sorted_places(words)
    second = np.flatnonzero(is_repeated)
    return places[second - 1], places[second]


def _near(words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places of all pairs of different hashes within ``NEAR_BITS``; of equal ones only one stands."""
    places, is_repeated = _sorted_places(words)
    place = np.sort(places[~is_repeated])
    distinct = words[place]
    near = [
        (one[is_near], other[is_near])
        for one, other in _candidates(distinct)
        if (is_near := _distance(distinct[one], distinct[other]) <= NEAR_BITS).any()
    ]
    return tuple(place[np.concatenate([ends[side] for ends in near] or [np.array([], int)])] for side in (0, 1))  # type: ignore[return-value]


def _distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.bitwise_count(one ^ other).sum(axis=1, dtype=np.int64)


def _candidates(words: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Places of pairs that agree in a piece but for one bit, as many as a piece may have; pairs may come again."""
    for piece in range(N_PIECES):
        # Every 13th bit: neighbouring bits (frequencies) of a hash go together, and would make pieces less telling.
        places = range(piece, HASH_BITS, N_PIECES)
        width, key = len(places), _key(words, places)
        order = np.argsort(key, kind="stable")
        start = np.zeros(2**width + 1, np.int64)
        np.cumsum(np.bincount(key, minlength=2**width), out=start[1:])
        # Equal in the piece: with those that follow in the same bucket.
        yield from _in_blocks(order, order, np.arange(1, len(key) + 1), start[key[order] + 1])
        for bit in range(width):
            clear = np.flatnonzero(~key & (1 << bit))
            flipped = key[clear] | (1 << bit)
            yield from _in_blocks(clear, order, start[flipped], start[flipped + 1])


def _key(words: np.ndarray, places: Sequence[int]) -> np.ndarray:
    """uint32 ``(n,)``: the bits at ``places`` of each hash, counted from its highest; the first is the lowest."""
    key = np.zeros(len(words), np.uint32)
    for number, place in enumerate(places):
        word, below = divmod(place, 64)
        key |= (words[:, word] >> np.uint64(63 - below) & np.uint64(1)).astype(np.uint32) << np.uint32(number)
    return key


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

"""The segments of JPEG files and the chunks of PNG files, up to the first that holds pixels, in TensorFlow ops.

A loop in a graph costs more than the whole step of reading. The first segments are therefore found without one: with
the place that follows on each place of the file's head, two steps are the first taken twice, four are two taken twice,
and so on. Only files whose head is longer go on in a loop, from where the head ended.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from cxr_tasks.images.graph.exif import bytes_at, int64, number
from cxr_tasks.images.rules import MOST_SEGMENTS

#: Bytes looked at where a segment or chunk begins.
PIECE = 16
#: Bytes of a file whose segments are found without a loop: those of a usual JPEG end before 700.
HEAD_BYTES = 1024
#: 2 ** 4 segments at most are found so.
_DOUBLINGS = 4
_IDAT = int.from_bytes(b"IDAT", "big")


class Segments(NamedTuple):
    """What was found at the steps of the way; a place where it came to rest may be there several times."""

    places: tf.Tensor
    """int64 ``(steps, n)``."""
    pieces: tf.Tensor
    """int64 ``(steps, n, PIECE)``, the bytes there; 0 beyond the end of the file."""
    end: tf.Tensor
    """int64 ``(n,)``, where it came to rest."""


def walk(contents: tf.Tensor, length: tf.Tensor, head: tf.Tensor, is_jpeg: tf.Tensor, is_png: tf.Tensor) -> Segments:
    """From segment to segment (JPEG) or chunk to chunk (PNG) of ``contents`` to the first that holds pixels.

    It also rests at the end of a file, and where no segment can begin.

    Args:
        head: The first ``HEAD_BYTES + PIECE`` bytes, int64 ``(n, ...)``; ``length``, ``is_jpeg`` and ``is_png`` are
            ``(n,)``.
    """
    start = tf.minimum(tf.where(is_png, int64(8), int64(2)), length)
    places = _in_head(head, start, is_jpeg, is_png)
    at = places[:, -1]
    windows = places[:, :, None] + tf.range(PIECE, dtype=tf.int64)
    pieces = tf.gather(head, windows, batch_dims=1)
    to_next, goes_on = _steps(tf.unstack(pieces[:, -1], axis=1), is_jpeg, is_png)
    goes_on &= at < length
    near = (tf.transpose(places), tf.transpose(pieces, (1, 0, 2)), at)

    def further() -> tuple[tf.Tensor, ...]:
        found = _in_loop(contents, length, tf.where(goes_on, tf.minimum(at + to_next, length), at), is_jpeg, is_png)
        return tf.concat([near[0], found[0]], 0), tf.concat([near[1], found[1]], 0), found[2]

    return Segments(*tf.cond(tf.reduce_any(goes_on), further, lambda: near))


def _in_head(head: tf.Tensor, start: tf.Tensor, is_jpeg: tf.Tensor, is_png: tf.Tensor) -> tf.Tensor:
    """The places of the first steps, int64 ``(n, 2 ** _DOUBLINGS)``; rests before a step would leave the head."""
    bytes_of = [head[:, shift : shift + HEAD_BYTES] for shift in range(8)]
    to_next, goes_on = _steps(bytes_of, is_jpeg[:, None], is_png[:, None])
    here = tf.range(HEAD_BYTES, dtype=tf.int64)
    following = tf.where(goes_on & (here + to_next < HEAD_BYTES), here + to_next, here)
    places = start[:, None]
    for doubling in range(_DOUBLINGS):
        places = tf.concat([places, tf.gather(following, places, batch_dims=1)], axis=1)
        if doubling + 1 < _DOUBLINGS:
            following = tf.gather(following, following, batch_dims=1)
    return places


def _steps(b: list[tf.Tensor], is_jpeg: tf.Tensor, is_png: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """How far the next segment is from one with the first bytes ``b``, and whether there is a next one."""
    is_filling = b[1] == 0xFF
    to_next = tf.where(is_jpeg, tf.where(is_filling, int64(1), 2 + number(b[2:4])), 12 + number(b[:4]))
    is_segment = (b[0] == 0xFF) & (b[1] > 1) & ((b[1] < 0xD0) | (b[1] > 0xDA))
    return to_next, tf.where(is_jpeg, is_segment, is_png & (number(b[4:8]) != _IDAT))


def _in_loop(
    contents: tf.Tensor, length: tf.Tensor, start: tf.Tensor, is_jpeg: tf.Tensor, is_png: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Places, pieces and end of the way from ``start`` on."""

    def step(count, at, _, places, pieces):
        piece = bytes_at(contents, at, PIECE)
        to_next, goes_on = _steps(tf.unstack(piece, axis=1), is_jpeg, is_png)
        goes_on &= at < length
        following = tf.where(goes_on, tf.minimum(at + to_next, length), at)
        return count + 1, following, tf.reduce_any(goes_on), places.write(count, at), pieces.write(count, piece)

    n_files = contents.shape[0]
    arrays = (
        tf.TensorArray(tf.int64, 0, dynamic_size=True, element_shape=(n_files,)),
        tf.TensorArray(tf.int64, 0, dynamic_size=True, element_shape=(n_files, PIECE)),
    )
    _, end, _, places, pieces = tf.while_loop(
        lambda count, at, goes_on, *_: goes_on & (count < MOST_SEGMENTS),
        step,
        (0, start, tf.constant(True), *arrays),
        parallel_iterations=1,
    )
    return places.stack(), pieces.stack(), end

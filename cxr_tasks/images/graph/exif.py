"""Bytes and numbers of a batch of files, and the orientation in their EXIF data, in TensorFlow ops."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from cxr_tasks.images.rules import MOST_EXIF_ENTRIES, ORIENTATION_TAG

UPRIGHT = 1
_SHORT, _LONG = 3, 4


def int64(value: int) -> tf.Tensor:
    """``value`` as a scalar of the type that places and sizes have here."""
    return tf.constant(value, tf.int64)


def bytes_at(contents: tf.Tensor, at: tf.Tensor, size: int) -> tf.Tensor:
    """``size`` bytes of each of ``contents`` (string ``(n,)``) from ``at`` (int64 ``(n,)``) on: int64 ``(n, size)``.

    Bytes beyond the end of a file are 0.
    """
    at = tf.clip_by_value(at, 0, tf.cast(tf.strings.length(contents), tf.int64))
    pieces = tf.strings.substr(contents, at, tf.fill(tf.shape(at), int64(size)))
    return tf.cast(tf.io.decode_raw(pieces, tf.uint8, fixed_length=size), tf.int64)


def matches(values: tf.Tensor, expected: bytes) -> tf.Tensor:
    """Whether the last axis of ``values`` begins with ``expected``; the shape less that axis."""
    return tf.reduce_all(values[..., : len(expected)] == tf.constant(list(expected), values.dtype), axis=-1)


def number(digits: Sequence[tf.Tensor]) -> tf.Tensor:
    """The number whose bytes are ``digits``, the highest first."""
    value = digits[0]
    for digit in digits[1:]:
        value = value * 256 + digit
    return value


def orientation(contents: tf.Tensor, tiff_at: tf.Tensor) -> tf.Tensor:
    """The EXIF orientation (int64, 1 to 8) of each file; 1 where ``tiff_at`` is 0 or there is none that makes sense.

    Args:
        tiff_at: Where the TIFF structure of the EXIF data begins, int64 ``(n,)``.

    Source: Exif 2.32 (CIPA DC-008), 4.5 and 4.6.4 A.
    """
    return tf.cond(
        tf.reduce_any(tiff_at > 0),
        lambda: tf.where(tiff_at > 0, _orientation(contents, tiff_at), int64(UPRIGHT)),
        lambda: tf.fill(tf.shape(tiff_at), int64(UPRIGHT)),
    )


def _orientation(contents: tf.Tensor, tiff_at: tf.Tensor) -> tf.Tensor:
    head = bytes_at(contents, tiff_at, 8)
    is_little = matches(head, b"II")
    offset = tiff_at + _ordered(head[:, 4:8], is_little)
    n_entries = _ordered(bytes_at(contents, offset, 2), is_little)
    entries = tf.reshape(bytes_at(contents, offset + 2, 12 * MOST_EXIF_ENTRIES), (-1, MOST_EXIF_ENTRIES, 12))
    tags, kinds, shorts, longs = (
        _ordered(entries[..., at:end], is_little[:, None]) for at, end in ((0, 2), (2, 4), (8, 10), (8, 12))
    )
    is_it = (tags == ORIENTATION_TAG) & ((kinds == _SHORT) | (kinds == _LONG))
    is_it &= tf.range(MOST_EXIF_ENTRIES, dtype=tf.int64) < n_entries[:, None]
    place = tf.argmax(tf.cast(is_it, tf.int32), axis=1)
    value = tf.gather(tf.where(kinds == _SHORT, shorts, longs), place, batch_dims=1)
    is_sound = tf.reduce_any(is_it, axis=1) & (is_little | matches(head, b"MM")) & (value >= 1) & (value <= 8)
    return tf.where(is_sound, value, int64(UPRIGHT))


def _ordered(digits: tf.Tensor, is_little: tf.Tensor) -> tf.Tensor:
    """The numbers whose bytes are the last axis of ``digits``, lowest first where ``is_little``."""
    listed = tf.unstack(digits, axis=-1)
    return tf.where(is_little, number(listed[::-1]), number(listed))

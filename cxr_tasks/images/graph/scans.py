"""The scans of a JPEG that comes in several: which there are, and whether together they hold the whole picture.

A progressive file that was cut between two scans and given an end marker decodes without a word, coarse as it is. What
can be known is in the heads of its scans: a whole picture has every coefficient of every component, to the last bit.
The same rule in plain Python is ``cxr_tasks.images.inspection.scans``.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from cxr_tasks.images.graph.exif import int64, number
from cxr_tasks.images.rules import MOST_SCANS, MOST_SEGMENTS

COMPONENTS, COEFFICIENTS = 3, 64
#: More than any bit that a scan can begin with.
_NOT_SENT = 99
_SOS, _EOI = 0xDA, 0xD9
#: A scan's head with four components, and as much beyond the end of the file.
_HEAD_BYTES = 16


class Scans(NamedTuple):
    """What the scans of one file hold."""

    is_whole: tf.Tensor
    """bool scalar: all coefficients of all components were sent to their last bit, in at most ``MOST_SCANS`` scans."""
    ends: tf.Tensor
    """int64 ``(n_scans,)``: the place behind the data of each scan."""


class _State(NamedTuple):
    n_steps: tf.Tensor
    at: tf.Tensor
    n_scans: tf.Tensor
    missing: tf.Tensor
    """int64 ``(COMPONENTS, COEFFICIENTS)``: bits of each coefficient that are still to come."""
    ends: tf.TensorArray


def read_scans(image_bytes: tf.Tensor, frame_at: tf.Tensor, scan_at: tf.Tensor, is_progressive: tf.Tensor) -> Scans:
    """The scans of a JPEG (string scalar) whose frame header and first scan begin at ``frame_at`` and ``scan_at``."""
    values = tf.io.decode_raw(image_bytes, tf.uint8)
    length = tf.shape(values, tf.int64)[0]
    markers = _markers(values)
    values = tf.concat([values, tf.zeros([_HEAD_BYTES], tf.uint8)], 0)
    frame = _piece(values, frame_at + 9, 1 + 3 * COMPONENTS)
    ids = frame[1::3]
    is_used = tf.range(COMPONENTS, dtype=tf.int64) < frame[0]
    missing = tf.where(is_used[:, None], tf.fill([COMPONENTS, COEFFICIENTS], int64(_NOT_SENT)), int64(0))

    def step(*state: tf.Tensor) -> _State:
        now = _State(*state)
        head = _piece(values, now.at, _HEAD_BYTES)
        is_scan = head[1] == _SOS
        after = _next_marker(markers, now.at + 2 + number([head[2], head[3]]), length)
        left = tf.where(is_scan, _less(now.missing, head, ids, is_progressive), now.missing)
        n_scans = now.n_scans + tf.cast(is_scan, tf.int32)
        ends = tf.cond(is_scan, lambda: now.ends.write(now.n_scans, after), lambda: now.ends)
        return _State(now.n_steps + 1, after, n_scans, left, ends)

    def goes_on(*state: tf.Tensor) -> tf.Tensor:
        now = _State(*state)
        is_within = (now.n_steps < MOST_SEGMENTS) & (now.n_scans <= MOST_SCANS) & (now.at < length)
        return is_within & (_piece(values, now.at, 2)[1] != _EOI)

    ends = tf.TensorArray(tf.int64, 0, dynamic_size=True, element_shape=())
    start = _State(tf.constant(0), scan_at, tf.constant(0), missing, ends)
    end = _State(*tf.while_loop(goes_on, step, start, parallel_iterations=1))
    is_whole = (tf.reduce_max(end.missing) == 0) & (end.n_scans <= MOST_SCANS)
    return Scans(is_whole, end.ends.stack())


def _markers(values: tf.Tensor) -> tf.Tensor:
    """The places of markers, int64: 0xFF that neither fills, nor stands for itself, nor restarts a scan."""
    following = values[1:]
    is_marker = (values[:-1] == 0xFF) & (following != 0) & (following != 0xFF)
    return tf.where(is_marker & ((following < 0xD0) | (following > 0xD7)))[:, 0]


def _next_marker(markers: tf.Tensor, at: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """The first marker from ``at`` on; the end of the file where there is none."""
    return tf.concat([markers, length[None]], 0)[tf.searchsorted(markers, at[None])[0]]


def _piece(values: tf.Tensor, at: tf.Tensor, size: int) -> tf.Tensor:
    return tf.ensure_shape(tf.cast(values[at : at + size], tf.int64), (size,))


def _less(missing: tf.Tensor, head: tf.Tensor, ids: tf.Tensor, is_progressive: tf.Tensor) -> tf.Tensor:
    """``missing`` once the scan with this ``head`` is read."""
    n_components = tf.minimum(head[4], 4)
    sent = head[5:13:2]
    is_sent = tf.range(4, dtype=tf.int64) < n_components
    is_component = tf.reduce_any((ids[:, None] == sent) & is_sent, axis=1)
    of_scan = head[5 + 2 * n_components : 8 + 2 * n_components]
    first, last, low = of_scan[0], of_scan[1], of_scan[2] % 16
    # Without progression a scan holds all of its components, whatever stands there.
    first, last, low = (
        tf.where(is_progressive, one, int64(whole)) for one, whole in ((first, 0), (last, COEFFICIENTS - 1), (low, 0))
    )
    coefficients = tf.range(COEFFICIENTS, dtype=tf.int64)
    is_in = is_component[:, None] & (coefficients >= first) & (coefficients <= last)
    return tf.where(is_in, tf.minimum(missing, low), missing)

"""A JPEG decoded, if its pixels are all there, in TensorFlow ops.

The decoder refuses a file without its end marker. Yet a file that lost data and was given a new end marker, as tools
for repair and transfer do, is decoded: what is missing becomes middle grey or stays coarse, and nothing is said.
"""

from __future__ import annotations

import random

import tensorflow as tf

from cxr_tasks.images.graph.exif import int64

#: What the decoder makes of a block without data, in every channel, and how far chroma's smoothing may move it.
_MISSING, _ABOUT = 128, 2
#: Side of a block of a JPEG, in pixels.
_BLOCK = 8
_END = b"\xff\xd9"
#: Put in before the end marker: bits that continue any picture that lacks some, and that a whole one never reads. No
#: byte is 0xFF, which would begin a marker.
_FURTHER_BITS = bytes(random.Random(20261129).choices(range(255), k=4096))


def whole_jpeg(image_bytes: tf.Tensor, is_progressive: tf.Tensor) -> tf.Tensor:
    """The pixels of a JPEG file (string scalar), uint8 ``(height, width, 1 or 3)``.

    Raises:
        tf.errors.InvalidArgumentError: It cannot be decoded, or not all of its data are there (when run).
    """
    decoded = _decode(image_bytes)
    # Without the second reading where it cannot change anything: it takes as long as the first.
    is_whole = tf.cond(
        is_progressive | _ends_grey(decoded),
        lambda: tf.reduce_all(decoded == _decode(_continued(image_bytes))),
        lambda: tf.constant(True),
    )
    with tf.control_dependencies([tf.debugging.Assert(is_whole, ["the JPEG data end early"])]):
        return tf.identity(decoded)


def _decode(image_bytes: tf.Tensor) -> tf.Tensor:
    # The default inverse transform is a fast approximation, off by up to 17 levels on a real X-ray; the accurate
    # one equals Pillow's.
    decoded = tf.io.decode_jpeg(image_bytes, channels=0, dct_method="INTEGER_ACCURATE", try_recover_truncated=False)
    return tf.ensure_shape(decoded, (None, None, None))


def _ends_grey(decoded: tf.Tensor) -> tf.Tensor:
    """Whether the last block is what becomes of one without data."""
    top, left = ((tf.shape(decoded)[axis] - 1) // _BLOCK * _BLOCK for axis in (0, 1))
    distance = tf.abs(tf.cast(decoded[top:, left:], tf.int32) - _MISSING)
    return tf.reduce_max(distance) <= _ABOUT


def _continued(image_bytes: tf.Tensor) -> tf.Tensor:
    """The file with further bits before its last end marker."""
    values = tf.io.decode_raw(image_bytes, tf.uint8)
    ends = tf.where((values[:-1] == _END[0]) & (values[1:] == _END[1]))[:, 0]
    end = tf.reduce_max(tf.concat([ends, [int64(0)]], 0))
    return tf.strings.join([tf.strings.substr(image_bytes, int64(0), end), _FURTHER_BITS, _END])

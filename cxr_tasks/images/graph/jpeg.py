"""A JPEG decoded, if its pixels are all there, in TensorFlow ops.

The decoder refuses a file without its end marker. Yet a file that lost data and was given a new end marker, as tools
for repair and transfer do, is decoded: what is missing becomes middle grey or stays coarse, and nothing is said. The
same rule in plain Python is ``cxr_tasks.images.inspection.jpeg``.
"""

from __future__ import annotations

import tensorflow as tf

from cxr_tasks.images.graph.exif import int64
from cxr_tasks.images.graph.headers import Headers
from cxr_tasks.images.graph.scans import read_scans
from cxr_tasks.images.rules import FURTHER_BITS, JPEG_BLOCK_PX, MISSING_ABOUT, MISSING_GREY

_END = b"\xff\xd9"


def whole_jpeg(image_bytes: tf.Tensor, header: Headers) -> tf.Tensor:
    """The pixels of a JPEG file (string scalar), uint8 ``(height, width, 1 or 3)``.

    Args:
        header: Of the file, scalars; it is sound.

    Raises:
        tf.errors.InvalidArgumentError: It cannot be decoded, or not all of its data are there (when run).
    """
    # One scan costs nothing; several are told before the decoder, which takes time for each.
    return tf.cond(
        header.in_scans, lambda: _whole_of_scans(image_bytes, header), lambda: _whole_of_one(image_bytes, header)
    )


def _whole_of_one(image_bytes: tf.Tensor, header: Headers) -> tf.Tensor:
    decoded = _decode(image_bytes)
    # Without the second reading where it cannot change anything: it takes as long as the first.
    is_whole = tf.cond(
        _ends_grey(decoded),
        lambda: tf.reduce_all(decoded == _decode(_continued(image_bytes, _first_end(image_bytes, header.scan_at)))),
        lambda: tf.constant(True),
    )
    with tf.control_dependencies([_assert_whole(is_whole)]):
        return tf.identity(decoded)


def _whole_of_scans(image_bytes: tf.Tensor, header: Headers) -> tf.Tensor:
    scans = read_scans(image_bytes, header.frame_at, header.scan_at, header.is_progressive)
    with tf.control_dependencies([_assert_whole(scans.is_whole)]):
        decoded = _decode(tf.identity(image_bytes))
        # Of each scan the data may end early; their heads do not tell.
        further = _decode(_continued(image_bytes, scans.ends))
    with tf.control_dependencies([_assert_whole(tf.reduce_all(decoded == further))]):
        return tf.identity(decoded)


def _assert_whole(is_whole: tf.Tensor) -> tf.Operation | None:
    return tf.debugging.Assert(is_whole, ["the JPEG data end early"])


def _decode(image_bytes: tf.Tensor) -> tf.Tensor:
    # The default inverse transform is a fast approximation, off by up to 17 levels on a real X-ray; the accurate
    # one equals Pillow's.
    decoded = tf.io.decode_jpeg(image_bytes, channels=0, dct_method="INTEGER_ACCURATE", try_recover_truncated=False)
    return tf.ensure_shape(decoded, (None, None, None))


def _ends_grey(decoded: tf.Tensor) -> tf.Tensor:
    """Whether the last block is what becomes of one without data."""
    top, left = ((tf.shape(decoded)[axis] - 1) // JPEG_BLOCK_PX * JPEG_BLOCK_PX for axis in (0, 1))
    distance = tf.abs(tf.cast(decoded[top:, left:], tf.int32) - MISSING_GREY)
    return tf.reduce_max(distance) <= MISSING_ABOUT


def _first_end(image_bytes: tf.Tensor, scan_at: tf.Tensor) -> tf.Tensor:
    """int64 ``(1,)``: the end marker behind the one scan; what stands behind it is no part of the picture."""
    values = tf.io.decode_raw(image_bytes, tf.uint8)[scan_at:]
    ends = tf.where((values[:-1] == _END[0]) & (values[1:] == _END[1]))[:, 0]
    return scan_at + tf.concat([ends, tf.shape(values, tf.int64)], 0)[:1]


def _continued(image_bytes: tf.Tensor, ends: tf.Tensor) -> tf.Tensor:
    """The file with further bits at each of ``ends``, where the data of a scan end."""
    starts = tf.concat([[int64(0)], ends], 0)
    sizes = tf.concat([ends, [tf.cast(tf.strings.length(image_bytes), tf.int64)]], 0) - starts
    pieces = tf.strings.substr(tf.fill(tf.shape(starts), image_bytes), starts, sizes)
    return tf.strings.reduce_join(pieces, separator=FURTHER_BITS)

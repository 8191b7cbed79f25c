"""What the headers of image files say, read in the graph before any decoder sees a file.

The rules are those of ``images.inspection.file_header``, in TensorFlow ops over a whole batch at once: each op costs as
much for one file as for sixty, and a request of one X-ray is answered in some ten milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from cxr_tasks.images.graph.exif import bytes_at, int64, matches, number, orientation
from cxr_tasks.images.graph.segments import HEAD_BYTES, PIECE, Segments, walk
from cxr_tasks.images.rules import (
    BMP_HEADER_BYTES,
    BMP_START,
    JPEG_START,
    PNG_START,
    PNG_TAIL_BYTES,
    Problem,
    RequestLimits,
)

#: How the pixels of a JPEG in several scans come.
_BY_COMPONENT, _PROGRESSIVE = 1, 2


class Headers(NamedTuple):
    """Per file, each of shape ``(n,)``."""

    problem: tf.Tensor
    """int64, a ``Problem``; where it is not NONE the rest means nothing."""
    is_png: tf.Tensor
    is_bmp: tf.Tensor
    is_progressive: tf.Tensor
    """Whether it is a JPEG whose pixels come from coarse to fine."""
    in_scans: tf.Tensor
    """Whether it is a JPEG whose pixels come in several scans, from coarse to fine or one component after the other."""
    frame_at: tf.Tensor
    """int64, of a JPEG: where the segment of its frame header begins."""
    scan_at: tf.Tensor
    """int64, of a JPEG: where the segment of its first scan begins."""
    pixels_end: tf.Tensor
    """int64, of a BMP: the place behind its pixels."""
    is_deep: tf.Tensor
    """Whether it is a PNG of 16 bits a value."""
    height: tf.Tensor
    width: tf.Tensor
    """int64, as stored."""
    orientation: tf.Tensor
    """int64, 1 to 8, as EXIF counts them."""


def read_headers(contents: tf.Tensor, limits: RequestLimits) -> Headers:
    """The headers of ``contents`` (string ``(n,)``, n may be 0)."""
    length = tf.cast(tf.strings.length(contents), tf.int64)
    head = bytes_at(contents, tf.zeros_like(length), HEAD_BYTES + PIECE)
    is_jpeg, is_png, is_bmp = (matches(head, start) for start in (JPEG_START, PNG_START, BMP_START))
    walked = walk(contents, length, head, is_jpeg, is_png)
    jpeg = _where_any(is_jpeg, lambda: _jpeg(walked, length))
    png = _where_any(is_png, lambda: _png(contents, walked, length, head))
    bmp = _where_any(is_bmp, lambda: _bmp(contents, length, head))
    problem, height, width, tiff_at, progression, frame_at, scan_at, pixels_end = (
        tf.where(is_jpeg, of_jpeg, tf.where(is_png, of_png, of_bmp))
        for of_jpeg, of_png, of_bmp in zip(jpeg, png, bmp, strict=True)
    )
    problem = tf.where(is_jpeg | is_png | is_bmp, problem, int64(Problem.OTHER_FORMAT))
    problem = tf.where(length > 0, problem, int64(Problem.EMPTY))
    too_large = (problem == int64(Problem.NONE)) & (height * width > limits.pixels)
    return Headers(
        tf.where(too_large, int64(Problem.TOO_MANY_PIXELS), problem),
        is_png,
        is_bmp,
        progression == _PROGRESSIVE,
        progression > 0,
        frame_at,
        scan_at,
        pixels_end,
        is_png & (head[:, 24] == 16),
        height,
        width,
        orientation(contents, tiff_at),
    )


def _where_any(is_it: tf.Tensor, found: Callable[[], _Found]) -> _Found:
    """``found()``, worked out only if there is a file of the kind in the batch."""
    nothing = tf.zeros_like(is_it, tf.int64)
    return _Found(*tf.cond(tf.reduce_any(is_it), lambda: tuple(found()), lambda: (nothing,) * len(_Found._fields)))


class _Found(NamedTuple):
    problem: tf.Tensor
    height: tf.Tensor
    width: tf.Tensor
    tiff_at: tf.Tensor
    """Where the TIFF structure of its EXIF data begins; 0 without."""
    progression: tf.Tensor
    """``_PROGRESSIVE`` or ``_BY_COMPONENT`` where it is such a JPEG; else 0."""
    frame_at: tf.Tensor
    scan_at: tf.Tensor
    """Where the first frame and the first scan of a JPEG begin."""
    pixels_end: tf.Tensor
    """The place behind the pixels of a BMP."""


def _jpeg(walked: Segments, length: tf.Tensor) -> _Found:
    b = tf.unstack(walked.pieces, axis=2)
    is_ff, marker = b[0] == 0xFF, b[1]
    is_frame = is_ff & (marker >= 0xC0) & (marker <= 0xCF) & (marker != 0xC4) & (marker != 0xC8) & (marker != 0xCC)
    is_taken = (marker <= 0xC2) & (b[4] == 8) & ((b[9] == 1) | (b[9] == 3))
    has_frame = tf.reduce_any(is_frame, axis=0)
    said = (tf.cast(is_taken, tf.int64), number(b[5:7]), number(b[7:9]), marker, b[9], walked.places)
    taken, height, width, kind, n_components, frame_at = (_first(is_frame, one) for one in said)
    by_component = tf.where(b[4][-1] < n_components, int64(_BY_COMPONENT), int64(0))
    progression = tf.where(kind == 0xC2, int64(_PROGRESSIVE), by_component)
    is_exif = is_ff & (marker == 0xE1) & matches(walked.pieces[..., 4:], b"Exif\0\0")
    is_several = is_ff & (marker == 0xE2) & matches(walked.pieces[..., 4:], b"MPF\0")
    problem = _first_problem(
        (~_rests(is_ff & (marker == 0xDA)) & (walked.end + 4 > length), Problem.ENDS_EARLY),
        (~_rests(is_ff & (marker == 0xDA)), Problem.DAMAGED_HEADER),
        (tf.reduce_any(is_several, axis=0), Problem.SEVERAL),
        (~has_frame, Problem.DAMAGED_HEADER),
        (taken == 0, Problem.JPEG_FORM),
        ((height == 0) | (width == 0), Problem.DAMAGED_HEADER),
    )
    tiff_at, scan_at = _first(is_exif, walked.places + 10), walked.places[-1]
    return _Found(problem, height, width, tiff_at, progression, frame_at, scan_at, tf.zeros_like(problem))


def _png(contents: tf.Tensor, walked: Segments, length: tf.Tensor, first: tf.Tensor) -> _Found:
    is_header = (number(tf.unstack(first[:, 8:12], axis=1)) == 13) & matches(first[:, 12:], b"IHDR")
    width, height = (number(tf.unstack(first[:, at : at + 4], axis=1)) for at in (16, 20))
    depth, colour = first[:, 24], first[:, 25]
    is_small, is_deep = (depth == 1) | (depth == 2) | (depth == 4), (depth == 8) | (depth == 16)
    is_known = tf.where(
        colour == 0,
        is_small | is_deep,
        tf.where(colour == 3, is_small | (depth == 8), is_deep & ((colour == 2) | (colour == 4) | (colour == 6))),
    )
    names = walked.pieces[..., 4:]
    n_frames = number(tf.unstack(walked.pieces[..., 8:12], axis=2))
    # Without one before the pixels these are no part of the animation, whose first picture is another.
    has_own_frame = tf.reduce_any(matches(names, b"fcTL"), axis=0)
    reaches_pixels = _rests(matches(names, b"IDAT"))
    problem = _first_problem(
        (~is_header | (width < 1) | (height < 1) | (width >= 2**31) | (height >= 2**31), Problem.DAMAGED_HEADER),
        (~reaches_pixels & (walked.end + 8 > length), Problem.ENDS_EARLY),
        (~reaches_pixels, Problem.DAMAGED_HEADER),
        (tf.reduce_any(matches(names, b"acTL") & ((n_frames > 1) | ~has_own_frame), axis=0), Problem.SEVERAL),
        ((depth == 1) & (colour == 0), Problem.PNG_FORM),
        (~is_known, Problem.DAMAGED_HEADER),
    )
    early, late = _first(matches(names, b"eXIf"), walked.places + 8), _late_exif(contents, length)
    return _without_scans(problem, height, width, tf.where(early > 0, early, late))


def _bmp(contents: tf.Tensor, length: tf.Tensor, first: tf.Tensor) -> _Found:
    def little(at: int, size: int) -> tf.Tensor:
        return number(tf.unstack(first[:, at : at + size], axis=1)[::-1])

    pixels_at, size, width, height, depth = little(10, 4), little(14, 4), little(18, 4), little(22, 4), little(28, 2)
    width, height = (tf.where(one >= 2**31, one - 2**32, one) for one in (width, height))
    is_known = tf.reduce_any(size[:, None] == tf.constant(BMP_HEADER_BYTES, tf.int64), axis=1)
    is_damaged = ~is_known | (pixels_at < 14 + size) | (width < 1) | (height == 0) | (height == -(2**31))
    height = tf.abs(height)
    levels = tf.reshape(bytes_at(contents, 14 + size, 1024), (-1, 256, 4))[..., :3]
    is_grey = tf.reduce_all(levels == tf.range(256, dtype=tf.int64)[:, None], axis=[1, 2]) & (
        pixels_at == 14 + size + 1024
    )
    is_taken = ((depth == 8) & is_grey) | (depth == 24) | (depth == 32)
    needed = pixels_at + (width * depth + 31) // 32 * 4 * height
    problem = _first_problem(
        (length < 54, Problem.ENDS_EARLY),
        (is_damaged, Problem.DAMAGED_HEADER),
        ((little(30, 4) != 0) | ~is_taken, Problem.BMP_FORM),
        (length < needed, Problem.ENDS_EARLY),
    )
    return _without_scans(problem, height, width, tf.zeros_like(length))._replace(pixels_end=needed)


def _without_scans(problem: tf.Tensor, height: tf.Tensor, width: tf.Tensor, tiff_at: tf.Tensor) -> _Found:
    nothing = tf.zeros_like(problem)
    return _Found(problem, height, width, tiff_at, nothing, nothing, nothing, nothing)


def _late_exif(contents: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """Where the TIFF structure of an eXIf chunk behind a PNG's pixels begins; 0 without."""
    start = tf.maximum(length - PNG_TAIL_BYTES, 0)
    name = tf.constant(int.from_bytes(b"eXIf", "little"), tf.int32)
    is_there = [tf.reduce_any(_tail_of(contents, start + shift, tf.int32) == name) for shift in range(4)]
    return tf.cond(tf.reduce_any(is_there), lambda: _place_of_late_exif(contents, start), lambda: tf.zeros_like(length))


def _place_of_late_exif(contents: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    tail = _tail_of(contents, start, tf.uint8)
    n_places = PNG_TAIL_BYTES - 5
    order = tail[:, 4 : 4 + n_places]
    is_here = ((order == ord("I")) | (order == ord("M"))) & (order == tail[:, 5 : 5 + n_places])
    for place, letter in enumerate(b"eXIf"):
        is_here &= tail[:, place : place + n_places] == letter
    place = tf.argmax(tf.cast(is_here, tf.uint8), axis=1)
    return tf.where(tf.reduce_any(is_here, axis=1), start + place + 4, int64(0))


def _tail_of(contents: tf.Tensor, start: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """The last bytes of each file from ``start`` on as values of ``dtype`` (little-endian)."""
    start = tf.minimum(start, tf.cast(tf.strings.length(contents), tf.int64))
    tail = tf.strings.substr(contents, start, tf.fill(tf.shape(start), int64(PNG_TAIL_BYTES)))
    return tf.io.decode_raw(tail, dtype, fixed_length=PNG_TAIL_BYTES)


def _first(is_it: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Of each file the value (``(steps, n)``) at the first step where ``is_it``; 0 where there is none."""
    step = tf.argmax(tf.cast(is_it, tf.int32), axis=0)
    first = tf.gather(tf.transpose(values), step, batch_dims=1)
    return tf.where(tf.reduce_any(is_it, axis=0), first, int64(0))


def _rests(is_it: tf.Tensor) -> tf.Tensor:
    """Whether it is so at the last step, where the walk came to rest."""
    return is_it[-1]


def _first_problem(*checks: tuple[tf.Tensor, Problem]) -> tf.Tensor:
    """Of each file the problem of the first check that finds one."""
    problem_of = tf.zeros_like(checks[0][0], tf.int64)
    for is_so, problem in reversed(checks):
        problem_of = tf.where(is_so, int64(problem), problem_of)
    return problem_of

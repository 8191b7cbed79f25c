"""A batch of image files into pixels, each file judged for itself: one that is refused costs no other its answer.

A decoder's error ends a graph, and no op catches one; a dataset inside the graph does, which leaves out the elements
whose function fails (``ignore_errors``). Datasets with a single element in serving graphs are documented use of
``tf.data.Dataset.get_single_element``, and TensorFlow Serving holds their kernels.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.images.graph.exif import int64
from cxr_tasks.images.graph.headers import Headers, read_headers
from cxr_tasks.images.graph.problems import problem_words
from cxr_tasks.images.pixels import decoded_square, unit_scale
from cxr_tasks.images.rules import COLOURED_WORDS, MARK_WORDS, MOST_COLOURED, WORDS, Problem, RequestLimits

#: Images decoded at the same time inside one batch; measured twice as fast as one at a time on two cores.
PARALLEL_DECODES = 16
#: With more pixels in a batch, its images are decoded one after the other: the memory it takes is then that of its
#: largest image, whatever their number.
PARALLEL_PIXELS = 64_000_000


class Judged(NamedTuple):
    """What became of each file of a batch."""

    pixels: tf.Tensor
    """uint8 ``(n, size, size, 1)``; black where the file is refused."""
    refusal: tf.Tensor
    """string ``(n,)``: why the file is refused; '' where it is not."""
    note: tf.Tensor
    """string ``(n,)``: what is to be known of a file that was taken; '' as a rule."""


def judged_pixels(contents: tf.Tensor, spec: PixelSpec, limits: RequestLimits | None = None) -> Judged:
    """The pixels of each of ``contents`` (string ``(n,)``, n may be 0), or why it has none."""
    return Judged(*_judging(spec, limits or RequestLimits())(contents))


@functools.cache
def _judging(spec: PixelSpec, limits: RequestLimits) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
    """What ``judged_pixels`` does, traced once: of its some three thousand ops each trace costs seconds.

    All signatures of an export call this one function, so that its graph is in the file once.
    """

    def judge(contents: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        headers = read_headers(contents, limits)
        places, pixels, coloured = _decoded(contents, headers, spec)
        n_files = tf.shape(contents, tf.int64)[0]
        is_fine = tf.equal(tf.shape(places, tf.int64)[0], n_files) & (tf.math.count_nonzero(coloured) == 0)
        pixels, refusal, note = tf.cond(
            is_fine,
            lambda: (pixels, tf.fill(n_files[None], ""), tf.fill(n_files[None], "")),
            lambda: _judged(problem_words(contents, headers, limits), places, pixels, coloured),
        )
        return tf.ensure_shape(pixels, (None, spec.size_px, spec.size_px, 1)), refusal, note

    return tf.function(judge, input_signature=[tf.TensorSpec((None,), tf.string)], autograph=False)


def _judged(
    refusal: tf.Tensor, places: tf.Tensor, pixels: tf.Tensor, coloured: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """What ``Judged`` holds, from the refusals by header and what was decoded at ``places``."""
    n_files = tf.shape(refusal, tf.int64)
    is_decoded = tf.scatter_nd(places[:, None], tf.ones_like(places), n_files) > 0
    coloured = tf.scatter_nd(places[:, None], coloured, n_files)
    pixels = tf.scatter_nd(places[:, None], pixels, tf.concat([n_files, tf.shape(pixels, tf.int64)[1:]], 0))
    percent = tf.strings.as_string(coloured * 100.0, precision=1)
    refusal = tf.where((refusal == "") & ~is_decoded, WORDS[Problem.UNDECODABLE], refusal)
    refusal = tf.where(coloured > MOST_COLOURED, tf.strings.join([COLOURED_WORDS, percent]), refusal)
    is_marked = (coloured > 0) & (coloured <= MOST_COLOURED)
    note = tf.where(is_marked, tf.strings.join([MARK_WORDS, percent]), "")
    return pixels * tf.cast(refusal == "", tf.uint8)[:, None, None, None], refusal, note


def batch_standard_pixels(contents: tf.Tensor, spec: PixelSpec, limits: RequestLimits | None = None) -> tf.Tensor:
    """``pixels.standard_pixels`` of each of ``contents``: uint8 ``(n, size, size, 1)``.

    Raises:
        tf.errors.InvalidArgumentError: A file is refused; the message has its index, from 0 (when run).
    """
    judged = judged_pixels(contents, spec, limits)
    with tf.control_dependencies([assert_all_taken(judged.refusal)]):
        return tf.identity(judged.pixels)


def batch_pixels(contents: tf.Tensor, spec: PixelSpec, limits: RequestLimits | None = None) -> tf.Tensor:
    """Input of a model for a batch of image files: float32 ``(n, size, size, 1)`` in [0, 1]; ``(n,)`` strings in."""
    return unit_scale(batch_standard_pixels(contents, spec, limits))


def assert_all_taken(refusal: tf.Tensor) -> tf.Operation | None:
    """An op that fails with INVALID_ARGUMENT where a file of the batch is refused, and names the index of the first.

    Args:
        refusal: string ``(n,)``: why each file is not taken; empty where it is.
    """
    is_refused = refusal != ""
    n_files = tf.shape(refusal)[0]

    def words() -> tf.Tensor:
        place = tf.argmax(tf.cast(is_refused, tf.int32))
        n_others = tf.math.count_nonzero(is_refused) - 1
        also = tf.strings.join([" (and ", tf.strings.as_string(n_others), " more are refused)"])
        parts = ["image ", tf.strings.as_string(place), " (counted from 0, of ", tf.strings.as_string(n_files), "): "]
        return tf.strings.join([*parts, refusal[place], tf.where(n_others > 0, also, "")])

    message = tf.cond(tf.reduce_any(is_refused), words, lambda: "")
    return tf.debugging.Assert(tf.equal(message, ""), [message], summarize=1)


def _decoded(contents: tf.Tensor, headers: Headers, spec: PixelSpec) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Of the files that could be decoded: their places (int64), pixels, and shares of coloured pixels."""
    is_sound = headers.problem == int64(Problem.NONE)
    n_pixels = tf.reduce_sum(tf.where(is_sound, headers.height * headers.width, int64(0)))
    places = tf.where(is_sound)[:, 0]
    n_sound = tf.shape(places, tf.int64)[0]
    files = (places, tf.gather(contents, places), Headers(*(tf.gather(one, places) for one in headers)))

    @tf.function(autograph=False)
    def decode(place: tf.Tensor, content: tf.Tensor, header: Headers) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        return place, *decoded_square(content, header, spec)

    nothing = tf.data.Dataset.from_tensors(
        (int64(-1), tf.zeros((spec.size_px, spec.size_px, 1), tf.uint8), tf.constant(0.0))
    )

    def one() -> tuple[tf.Tensor, ...]:
        images = tf.data.Dataset.from_tensors(tf.nest.map_structure(lambda of: of[0], files)).map(decode)
        image = images.ignore_errors().concatenate(nothing).take(1).get_single_element()
        return tuple(of[None][: tf.cast(image[0] >= 0, tf.int32)] for of in image)

    def several() -> tuple[tf.Tensor, ...]:
        at_once = tf.where(n_pixels > PARALLEL_PIXELS, int64(1), int64(PARALLEL_DECODES))
        images = tf.data.Dataset.from_tensor_slices(files).map(decode, num_parallel_calls=at_once, deterministic=True)
        # The element that is always there makes the dataset's one batch, also where no file can be decoded.
        images = images.ignore_errors().concatenate(nothing).batch(n_sound + 1)
        return tuple(of[:-1] for of in images.get_single_element())

    # Threads that decode side by side, and a batch, cost a single image a third of its time.
    return tf.cond(tf.equal(n_sound, 1), one, several)

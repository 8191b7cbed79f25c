"""What is said of each file of a batch that is refused, in TensorFlow ops; the words are those of ``image_rules``."""

from __future__ import annotations

import tensorflow as tf

from cxr_tasks.images.graph.exif import bytes_at, int64, matches
from cxr_tasks.images.graph.headers import Headers
from cxr_tasks.images.rules import BYTES_SHOWN, KNOWN_STARTS, TAKEN, UNKNOWN, WORDS, Problem, RequestLimits


def problem_words(contents: tf.Tensor, headers: Headers, limits: RequestLimits) -> tf.Tensor:
    """Why each of ``contents`` (string ``(n,)``) is refused by its header, string ``(n,)``; '' where it is taken."""
    return tf.cond(
        tf.reduce_any(headers.problem != int64(Problem.NONE)),
        lambda: _words(contents, headers, limits),
        lambda: tf.fill(tf.shape(contents), ""),
    )


def _words(contents: tf.Tensor, headers: Headers, limits: RequestLimits) -> tf.Tensor:
    table = tf.constant([WORDS.get(problem, "") for problem in Problem])
    size = tf.strings.join([tf.strings.as_string(headers.width), " x ", tf.strings.as_string(headers.height)])
    too_many = tf.strings.join([size, f" pixels, at most {limits.megapixels} million are taken"])
    words = tf.where(headers.problem == int64(Problem.TOO_MANY_PIXELS), too_many, tf.gather(table, headers.problem))
    return tf.where(headers.problem == int64(Problem.OTHER_FORMAT), _other_format(contents), words)


def _other_format(contents: tf.Tensor) -> tf.Tensor:
    length = tf.cast(tf.strings.length(contents), tf.int64)
    first = bytes_at(contents, tf.zeros_like(length), BYTES_SHOWN)
    name = tf.fill(tf.shape(contents), UNKNOWN)
    for at, start, known in reversed(KNOWN_STARTS):
        name = tf.where(matches(first[:, at:], start), known, name)
    digits = tf.gather(tf.constant([f" {value:02x}" for value in range(256)]), first)
    is_there = tf.range(BYTES_SHOWN, dtype=tf.int64) < length[:, None]
    shown = tf.strings.reduce_join(tf.where(is_there, digits, ""), axis=1)
    return tf.strings.join([f"expected a {TAKEN} file, found ", name, " file that begins with", shown])

"""Image files into stored pixels, many at a time, each file checked against the hash that ingest saw."""

from __future__ import annotations

import hashlib
import logging
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.paths import inside
from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.prepare.pixels import batch_standard_pixels

log = logging.getLogger(__name__)

#: Files read, checked and decoded together: enough to keep the cores busy, little memory at 2 MB a file.
READ_BATCH = 64
PROGRESS_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An image that could be opened at ingest and not decoded here."""

    image_id: str
    reason: str


def decode_files(root: Path, index: pd.DataFrame, spec: PixelSpec, *, into: np.ndarray) -> list[LeftOut]:
    """Decode the files of ``index`` (columns ``image_id``, ``file_sha256``) below ``root``.

    Args:
        into: uint8 ``(len(index), size, size, 1)``, filled in the order of ``index``; the row of an image that cannot
            be decoded is left as it is.

    Raises:
        DataDefect: A file lies outside ``root``, is gone, or has another content than at ingest.
    """

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
    def decode(contents: tf.Tensor) -> tf.Tensor:
        return batch_standard_pixels(contents, spec)

    left_out: list[LeftOut] = []
    image_ids, hashes = index["image_id"].tolist(), index["file_sha256"].tolist()
    started = told = time.monotonic()
    for start in range(0, len(image_ids), READ_BATCH):
        part = slice(start, start + READ_BATCH)
        contents = [read_verified(root, *one) for one in zip(image_ids[part], hashes[part], strict=True)]
        try:
            into[part] = decode(tf.constant(contents, tf.string)).numpy()
        except tf.errors.InvalidArgumentError:
            left_out += _decode_one_by_one(decode, contents, image_ids[part], into[part])
        now = time.monotonic()
        if now - told >= PROGRESS_SECONDS:
            told, n_done = now, start + len(contents)
            rate = n_done / (now - started)
            left = (len(image_ids) - n_done) / rate
            log.info("decoded %d of %d images, %.0f img/s, about %.0f s left", n_done, len(image_ids), rate, left)
    return left_out


def read_verified(root: Path, image_id: str, file_sha256: str) -> bytes:
    """The bytes of one image, once they are known to be those that ingest saw; otherwise ``DataDefect``."""
    path = root / image_id
    if not inside(root, path):
        raise DataDefect(f"image {image_id!r}: expected a path below {root}, found one that leads out of it")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataDefect(f"{path}: expected the image that ingest found there, found none; run ingest again") from None
    if hashlib.sha256(content).hexdigest() != file_sha256:
        raise DataDefect(f"{path}: the file was changed after ingest; run ingest again")
    return content


def _decode_one_by_one(decode, contents: list[bytes], image_ids: list[str], into: np.ndarray) -> list[LeftOut]:
    """One bad image fails its whole batch: find it, keep the others."""
    left_out = []
    for place, (content, image_id) in enumerate(zip(contents, image_ids, strict=True)):
        try:
            into[place] = decode(tf.constant([content], tf.string)).numpy()[0]
        except tf.errors.InvalidArgumentError as error:
            left_out.append(LeftOut(image_id, str(error.message).splitlines()[0]))
    return left_out

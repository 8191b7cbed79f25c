"""Image files into stored pixels, many at a time, each file checked against the hash that ingest saw."""

from __future__ import annotations

import functools
import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.images.batches import judged_pixels
from cxr_tasks.images.dicom import DicomRefused, dicom_as_png, is_dicom
from cxr_tasks.installation.progress_lines import ProgressLines
from cxr_tasks.installation.storage.paths import inside

log = logging.getLogger(__name__)

#: Files read, checked and decoded together: enough to keep the cores busy, little memory at 2 MB a file.
READ_BATCH = 64
#: Files read at the same time: what a disk on the network needs to answer at its full rate.
READERS = 8


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An image that could be opened at ingest and not decoded here."""

    image_id: str
    reason: str


def decoded_files(
    root: Path, index: pd.DataFrame, spec: PixelSpec, *, left_out: list[LeftOut], progress: ProgressLines | None = None
) -> Iterator[tuple[int, np.ndarray]]:
    """The stored pixels of the files of ``index`` (columns ``image_id``, ``file_sha256``) below ``root``, in order.

    The next files are read while a batch is decoded; memory holds two batches, however long the index.

    Args:
        left_out: Gets one entry per image that cannot be decoded; those are passed over.

    Yields:
        Place in ``index`` from 0, and uint8 ``(size, size, 1)``.

    Raises:
        DataDefect: A file lies outside ``root``, is gone, or has another content than at ingest.
    """
    decode, files = _decoder(spec), list(zip(index["image_id"], index["file_sha256"], strict=True))
    with ThreadPoolExecutor(READERS) as readers:
        for start, contents in _read_ahead(readers, root, files):
            usable = {place: content for place, content in enumerate(contents, start) if isinstance(content, bytes)}
            pixels, reasons = _decoded(decode, usable)
            refused = {
                place: content for place, content in enumerate(contents, start) if isinstance(content, str)
            } | reasons
            left_out += [LeftOut(files[place][0], reason) for place, reason in sorted(refused.items())]
            yield from pixels
            if progress:
                progress.add(len(contents))


def told(n_images: int) -> ProgressLines:
    """What says in the log how many of ``n_images`` are decoded."""
    return ProgressLines(n_images, what="images decoded", logger=log, every_s=10.0)


def decode_files(root: Path, index: pd.DataFrame, spec: PixelSpec, *, into: np.ndarray) -> list[LeftOut]:
    """``decoded_files`` written ``into`` uint8 ``(len(index), size, size, 1)``; what is left out stays as it was."""
    left_out: list[LeftOut] = []
    for place, pixels in decoded_files(root, index, spec, left_out=left_out, progress=told(len(index))):
        into[place] = pixels
    return left_out


@functools.lru_cache(maxsize=4)
def _decoder(spec: PixelSpec) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """``judged_pixels`` compiled, once for all splits: pixels and refusals."""

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
    def decode(contents: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        judged = judged_pixels(contents, spec)
        return judged.pixels, judged.refusal

    return decode


def _read_ahead(
    readers: ThreadPoolExecutor, root: Path, files: Sequence[tuple[str, str]]
) -> Iterator[tuple[int, list[bytes | str]]]:
    """Batches of contents with the place of their first file, the next one being read meanwhile."""

    def submit(start: int):
        return start, [readers.submit(read_decodable, root, *file) for file in files[start : start + READ_BATCH]]

    ahead = submit(0)
    for start in range(READ_BATCH, len(files) + READ_BATCH, READ_BATCH):
        (now, reads), ahead = ahead, submit(start)
        yield now, [read.result() for read in reads]


def read_decodable(root: Path, image_id: str, file_sha256: str) -> bytes | str:
    """The verified bytes of one image in a form that TensorFlow decodes, or why there are none.

    A DICOM file becomes a PNG of the same pixels.
    """
    content = read_verified(root, image_id, file_sha256)
    if not is_dicom(content):
        return content
    try:
        return dicom_as_png(content)
    except DicomRefused as why:
        return str(why)


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


def _decoded(
    decode: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]], contents: dict[int, bytes]
) -> tuple[list[tuple[int, np.ndarray]], dict[int, str]]:
    """Pixels of each place in order, and the reason of each place that has none."""
    pixels, refusals = (tensor.numpy() for tensor in decode(tf.constant(list(contents.values()), tf.string)))
    judged = list(zip(contents, pixels, (refusal.decode() for refusal in refusals), strict=True))
    return [(place, image) for place, image, why in judged if not why], {place: why for place, _, why in judged if why}

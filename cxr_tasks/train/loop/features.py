"""Features of a frozen backbone, computed once per split and kept in a file that is mapped, not read."""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from cxr_tasks.datasets.load import plain_batches
from cxr_tasks.datasets.rows_on_disk import open_rows, write_rows
from cxr_tasks.installation.storage.changes import remove_file
from cxr_tasks.installation.storage.files import replaced_file

log = logging.getLogger(__name__)

FILE_PATTERN = "features-*.npy"


class Rows(Protocol):
    """An order of rows by step: ``inputs.BatchPlan``."""

    def batch(self, step: int) -> tuple[int, np.ndarray]: ...


def weights_key(weights: Sequence[np.ndarray], precision: str) -> str:
    """Names features by what they follow from beside the images: the backbone's weights and its arithmetic."""
    digest = hashlib.sha256(precision.encode())
    for weight in weights:
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()[:16]


def cached_features(
    folder: Path,
    name: str,
    key: str,
    images: np.ndarray,
    features_of: Callable[[tf.Tensor], tf.Tensor],
    batch_size: int,
) -> np.ndarray:
    """Pooled features float32 ``(n, channels)`` of ``images`` (uint8 ``(n, size, size, 1)``), mapped from a file.

    A run that was killed finds the file of its first try under the same ``key``; one that was cut short is not there,
    as it is renamed into its place when it is whole.
    """
    path = folder / f"features-{name}-{key}.npy"
    if not path.exists():
        log.info("features of %d %s images are computed once, for all epochs of this phase", len(images), name)
        with replaced_file(path) as aside:
            _write(aside, images, features_of, batch_size)
    return open_rows(path)


def _write(path: Path, images: np.ndarray, features_of: Callable[[tf.Tensor], tf.Tensor], batch_size: int) -> None:
    blocks = (features_of(batch).numpy() for batch in plain_batches(images, batch_size))
    first = next(blocks)
    write_rows(path, (len(images), first.shape[1]), np.float32, itertools.chain([first], blocks))


def feature_batches(
    features: np.ndarray, targets: Sequence[np.ndarray], plan: Rows, *, first_step: int, n_steps: int
) -> Iterator[tuple[Any, ...]]:
    """Rows of ``features`` and of each of ``targets``, in the batches that images would come in."""
    for step in range(first_step, n_steps):
        _, rows = plan.batch(step)
        yield (features[rows], *(target[rows] for target in targets))


def remove_features(folder: Path) -> None:
    """Drop what a phase that is over has left, and what a process that was killed left half written."""
    for pattern in (FILE_PATTERN, f".{FILE_PATTERN}"):
        for path in folder.glob(pattern):
            remove_file(path)

"""A saved network: loaded without running code that came with it, and its logits."""

from __future__ import annotations

import zipfile
from pathlib import Path

import keras
import numpy as np

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.datasets.load import plain_batches
from cxr_tasks.installation.storage.files import is_of_the_system

BATCH = 64


def load_model(path: Path, *, size_px: int, n_findings: int) -> keras.Model:
    """The Keras model in ``path``, found to take ``(n, size_px, size_px, 1)`` and to give ``(n, n_findings)``.

    Raises:
        DataDefect: Not a ``.keras`` file, code of its own inside (never run), or another input or output shape.
        OSError: The disk, or the rights to the file.
    """
    try:
        path.open("rb").close()  # Keras calls whatever it may not open a file that is not there
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        if is_of_the_system(error):
            raise
        raise DataDefect(f"{path}: expected a Keras model, found {type(error).__name__}: {error}") from error
    shapes, wanted = (model.input_shape, model.output_shape), ((None, size_px, size_px, 1), (None, n_findings))
    if shapes != wanted:
        raise DataDefect(
            f"{path}: expected input and output shapes {wanted}, found {shapes}; it was made for other data"
        )
    return model


def logits_of(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Logits float64 ``(n, k)`` of ``images`` uint8 ``(n, size, size, 1)``, in their order."""
    batches = [np.asarray(model(batch, training=False)) for batch in plain_batches(images, BATCH)]
    width = model.output_shape[-1]
    return np.concatenate(batches).astype(np.float64) if batches else np.empty((0, width))

"""Images to ask a model for again: those of recorded requests, or of a folder."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.images.files_below import image_files, shown_path
from cxr_tasks.installation.storage.paths import recorded_root
from cxr_tasks.installation.tensorflow_start import start_tensorflow
from serving.client import ImageRefused
from serving.client.image_bytes import image_bytes
from serving.export.golden import golden_images

log = logging.getLogger(__name__)


def images_to_compare(model_name: str, folder: Path | None, limit: int) -> tuple[list[bytes], str]:
    """The images of ``folder``, or of the newest recorded requests where there is none, and where they are from."""
    if folder is None:
        return recorded_images(model_name, limit), "recorded requests"
    return folder_images(folder, limit), str(folder)


def recorded_images(model_name: str, limit: int) -> list[bytes]:
    """The images of a model's newest recorded requests, at most ``limit``, each once, none of a smoke test.

    Raises:
        DataDefect: Nothing is recorded.
    """
    folder = recorded_root() / model_name
    own = set(golden_images().values())
    images: dict[bytes, None] = {}
    for path in sorted(folder.glob("*.tfrecord"), reverse=True):
        for image in reversed(list(_images_of(path))):
            if image not in own:
                images.setdefault(image)
        if len(images) >= limit:
            break
    if not images:
        raise DataDefect(
            f"{folder}: expected recorded requests, found none; the model server records them where CXR_REQUEST_LOG "
            "gives the share to record, or name a folder of images"
        )
    return list(images)[:limit]


def folder_images(folder: Path, limit: int) -> list[bytes]:
    """The image files below ``folder``, at most ``limit``, DICOM files as PNGs of their pixels.

    Raises:
        DataDefect: It holds none.
    """
    images: list[bytes] = []
    for path in image_files(folder):
        if len(images) == limit:
            break
        try:
            images.append(image_bytes(path))
        except ImageRefused as error:
            log.warning("an image is left out: %s: %s", shown_path(path), error)
    if not images:
        raise DataDefect(f"{folder}: expected image files, found none that can be read")
    return images


def _images_of(path: Path) -> Iterator[bytes]:
    """The images in one file, in the order they came; ends at a record that is still being written."""
    start_tensorflow()
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    try:
        for content in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            request = prediction_log_pb2.PredictionLog.FromString(content).predict_log.request
            yield from request.inputs["image_bytes"].string_val
    except tf.errors.DataLossError:
        log.info("%s ends with a record that is not complete", path.name)

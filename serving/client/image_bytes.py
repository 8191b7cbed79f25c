"""Images as they are sent: files as they are, DICOM files and arrays as PNGs of their pixels."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serving.client.answers import ImageRefused

if TYPE_CHECKING:
    import numpy as np

#: What an image may be: a path, the bytes of a file, or grey pixels.
Image = "str | os.PathLike[str] | bytes | bytearray | memoryview | np.ndarray"
#: Larger files are not sent: the server takes 64 MiB in a message, and by REST an image grows by a third.
MOST_FILE_BYTES = 40 * 1024 * 1024
_TAKEN = "expected a path, the bytes of an image file or a numpy array"


def image_bytes(image: Any) -> bytes:
    """What is sent for ``image``.

    Args:
        image: A path (``str`` is one too); the bytes of a JPEG, PNG, BMP or DICOM file; or a grey array of shape
            ``(h, w)`` or ``(h, w, 1)``, uint8 or uint16, 0 black. A DICOM file is told by its content and sent as a PNG
            of its pixels: nothing of its header leaves this process. An array of uint16 is shown over the whole bits
            that its values take, as the served model shows a PNG of 16 bits.

    Raises:
        ImageRefused: It cannot be read, is empty or too large, or is nothing of these.
    """
    if isinstance(image, (str, os.PathLike)):
        path = Path(image)
        return _of_file(path)
    if isinstance(image, (bytes, bytearray, memoryview)):
        return _of_bytes(bytes(image))
    if hasattr(image, "dtype") and hasattr(image, "shape"):
        return _checked(_of_array(image), "its pixels take")
    raise ImageRefused(f"{_TAKEN}, found {type(image).__name__}")


def _of_file(path: Path) -> bytes:
    try:
        # Asked before it is read: a pipe would never end, a device has no size.
        if path.exists() and not path.is_file():
            raise ImageRefused("expected a file, found a folder, pipe or device")
        size = path.stat().st_size
        if size > MOST_FILE_BYTES:
            raise ImageRefused(f"expected at most {MOST_FILE_BYTES >> 20} MiB, found {size >> 20} MiB")
        return _of_bytes(path.read_bytes())
    except OSError as error:
        raise ImageRefused(error.strerror or str(error)) from None
    except ValueError as error:  # a name with a null character
        raise ImageRefused(str(error)) from None


def _of_bytes(content: bytes) -> bytes:
    from cxr_tasks.images.dicom import DicomRefused, dicom_as_png, is_dicom

    if not content:
        raise ImageRefused("expected an image, found an empty file")
    _checked(content, "found")
    if not is_dicom(content):
        return content
    try:
        return _checked(dicom_as_png(content), "its pixels take")
    except DicomRefused as error:
        raise ImageRefused(str(error)) from None


def _of_array(array: np.ndarray) -> bytes:
    from PIL import Image as Picture

    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim != 2 or array.dtype.name not in {"uint8", "uint16"} or not array.size:
        raise ImageRefused(
            "expected grey pixels of shape (h, w) or (h, w, 1) as uint8 or uint16, "
            f"found shape {tuple(array.shape)} of {array.dtype.name}"
        )
    stream = io.BytesIO()
    Picture.fromarray(array).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def _checked(content: bytes, found: str) -> bytes:
    if len(content) > MOST_FILE_BYTES:
        raise ImageRefused(f"expected at most {MOST_FILE_BYTES >> 20} MiB, {found} {len(content) >> 20} MiB")
    return content

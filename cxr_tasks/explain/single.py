"""Heat maps of one image that a served model was asked about, as pictures in a folder."""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path
from typing import Any

import numpy as np

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.explain.maps import enlarged, normalised
from cxr_tasks.explain.overlays import overlay_png
from cxr_tasks.installation.storage.files import read_json, replaced_file
from serving.client import Answer
from serving.client.image_bytes import image_bytes
from serving.served.version_folders import version_folder

#: Of the picture under the heat map, which shows what the model sees: a square.
SIZE_PX = 512
_ODD = re.compile(r"[^\w.-]+")


def write_overlays(answer: Answer, model: str, name: str, image: Any, folder: Path) -> tuple[str, ...]:
    """Write a picture with the heat map of each positive finding, or of the most probable one; the files' paths.

    Args:
        answer: With ``heat_maps``, as ``CxrClient.explain`` gives it.
        name: Of the image, for the names of the files; told apart by a digest where two images are called alike.

    Raises:
        ConfigurationError: ``folder`` is no folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ConfigurationError(f"{folder}: expected a folder for pictures, found a file") from None
    content, written = image_bytes(image), []
    for place in shown_findings(answer):
        digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        stem = _ODD.sub("_", Path(name).stem)[:60] or "image"
        path = folder / f"{stem}-{digest}-{model}-{answer.labels[place]}.png"
        with replaced_file(path) as aside:
            aside.write_bytes(overlay_of(answer, place, model, content))
        written.append(str(path))
    return tuple(written)


def overlay_of(answer: Answer, place: int, model: str, content: bytes) -> bytes:
    """PNG of an image (as it was sent, or a DICOM file) and of the heat map of the finding at ``place`` over it.

    Raises:
        ValueError: The answer holds no heat maps.
    """
    if answer.heat_maps is None:
        raise ValueError("expected an answer with heat maps, found one without")
    grey = grey_square(image_bytes(content), is_cropped=_is_cropped(model, answer.version))
    return overlay_png(grey, enlarged(normalised(answer.heat_maps[place : place + 1])[0], SIZE_PX))


def shown_findings(answer: Answer) -> list[int]:
    """Places of the positive findings, or of the most probable one where none is."""
    positive = [place for place, is_positive in enumerate(answer.decisions) if is_positive]
    return positive or [int(np.argmax(answer.probabilities))]


def grey_square(content: bytes, *, is_cropped: bool = False, size_px: int = SIZE_PX) -> np.ndarray:
    """An image file as the model sees it, in finer pixels: uint8 ``(size_px, size_px)``, upright.

    For people to look at; the pixels that the model is given come from ``images.pixels`` alone.
    """
    from PIL import Image, ImageOps

    picture = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    if picture.mode.startswith("I"):
        values = np.asarray(picture, np.float32)
        picture = Image.fromarray((values * (255.0 / max(_highest(values), 1))).astype(np.uint8))
    picture = picture.convert("L")
    if is_cropped:
        side = min(picture.size)
        left, top = ((length - side) // 2 for length in picture.size)
        picture = picture.crop((left, top, left + side, top + side))
    return np.asarray(picture.resize((size_px, size_px), Image.Resampling.BILINEAR))


def _highest(values: np.ndarray) -> int:
    """The highest value of the whole bits that ``values`` take, 8 at least."""
    return (1 << max(int(values.max()).bit_length(), 8)) - 1


def _is_cropped(model: str, version: int | None) -> bool:
    """Whether that version cuts pictures to a square first, which its files tell where they are on this machine."""
    if version is None:
        return False
    try:
        contract = read_json(version_folder(model, version) / "assets.extra" / "serving.json")
    except DataDefect:
        return False
    return contract["pixels"].get("fit") == "crop"

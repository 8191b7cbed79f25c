"""Served images whose labels came back, as files named by their pixels: pictures of patients, for the owner only.

The log of predictions holds no picture. These are kept where somebody asks for it, out of a folder that has them or out
of the requests that were recorded.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cxr_tasks.installation.storage.changes import write_bytes
from cxr_tasks.installation.storage.paths import home
from cxr_tasks.predictions.describe import image_facts

#: Suffix of a format as ``image_facts`` names it; pictures of other formats are kept without one.
_SUFFIXES = {"JPEG": ".jpeg", "PNG": ".png", "BMP": ".bmp"}
#: Decoded side by side.
_AT_ONCE = 16


def labelled_images_root(model: str) -> Path:
    """The images of ``model``, as ``<pixel hash>.<suffix>``."""
    return home() / "feedback_images" / model


def kept_images(model: str) -> dict[str, Path]:
    """Pixel hash -> file."""
    return {path.stem: path for path in sorted(labelled_images_root(model).glob("[0-9a-f]*"))}


def keep_images(model: str, images: Iterable[bytes], wanted: set[str]) -> int:
    """Keep those of ``images`` whose pixel hash is ``wanted`` and that are not kept yet; how many are new."""
    wanted = wanted - kept_images(model).keys()
    n_new, some = 0, []
    for image in images:
        if not wanted:
            break
        some.append(image)
        if len(some) == _AT_ONCE:
            n_new, some = n_new + _keep(model, some, wanted), []
    return n_new + _keep(model, some, wanted)


def _keep(model: str, images: list[bytes], wanted: set[str]) -> int:
    n_new, folder = 0, labelled_images_root(model)
    for image, facts in zip(images, image_facts(images) if images else [], strict=True):
        if facts.pixel_hash not in wanted:
            continue
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / f"{facts.pixel_hash}{_SUFFIXES.get(facts.file_format.upper(), '')}"
        write_bytes(path, image)
        wanted.discard(facts.pixel_hash)
        n_new += 1
    return n_new

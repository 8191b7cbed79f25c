"""Faults of a whole data set: something that the files of all ill images share gives their label away."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image

from cxr_tasks.sources.phantoms.faults.planting import Ground, Planted, encoded
from cxr_tasks.sources.phantoms.layouts.files import PhantomFile

#: The finding that the files give away.
SHORTCUT_FINDING = "pneumonia"
#: By how much ill images are larger where their size gives them away.
SIZE_FACTOR = 1.5

_SETTINGS = {"PNG": {"compress_level": 3}, "JPEG": {"quality": 90}}

#: Format and mode of a file as it is, and whether it is of an ill image -> those that it gets.
_Form = Callable[[str, str, bool], tuple[str, str]]


def plant_mode_shortcut(ground: Ground, n: int) -> list[Planted]:
    """Every image with pneumonia in RGB, every other one in grey; ``n`` says that it is so, as for all below."""
    return _planted(ground, "mode_shortcut", lambda kind, mode, is_ill: (kind, "RGB" if is_ill else "L"))


def plant_format_shortcut(ground: Ground, n: int) -> list[Planted]:
    """Every image with pneumonia as PNG, every other one as JPEG, whatever their names say."""
    return _planted(
        ground,
        "format_shortcut",
        # A JPEG has no alpha channel.
        lambda kind, mode, is_ill: ("PNG", mode) if is_ill else ("JPEG", "L" if mode == "RGBA" else mode),
    )


def plant_size_shortcut(ground: Ground, n: int) -> list[Planted]:
    """Every image with pneumonia with sides half as long again, every other one as it was."""
    for file in ground.files:
        if _is_ill(file) and file.image_id not in ground.touched:
            ground.scales[file.image_id] = SIZE_FACTOR
    return _planted(ground, "size_shortcut", lambda kind, mode, is_ill: (kind, mode))


def _planted(ground: Ground, fault: str, form: _Form) -> list[Planted]:
    """Write every image that no other fault has touched in its new form; a record for each ill frontal one."""
    records = []
    for file in ground.files:
        if file.image_id in ground.touched:
            continue
        is_ill = _is_ill(file)
        _write(ground, file, is_ill, form)
        if is_ill and not file.request.is_lateral:
            records.append(Planted(fault=fault, image_id=file.image_id))
    return records


def _write(ground: Ground, file: PhantomFile, is_ill: bool, form: _Form) -> None:
    path, pixels = ground.path(file), ground.pixels(file)
    if file.dicom is not None:
        ground.write_pixels(file, pixels)
        return
    # What is there may have been given another form by a shortcut before.
    with Image.open(path) as now:
        kind, mode = form(str(now.format), now.mode, is_ill)
    path.write_bytes(encoded(Image.fromarray(pixels).convert(mode), kind, **_SETTINGS[kind]))


def _is_ill(file: PhantomFile) -> bool:
    return file.request.pneumonia is not None or (file.visit is not None and file.visit.has(SHORTCUT_FINDING))

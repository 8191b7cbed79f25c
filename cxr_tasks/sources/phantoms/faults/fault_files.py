"""Faults of single files: content that is no X-ray, an X-ray that is not as it should be, and what lies beside them."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from cxr_tasks.sources.phantoms.faults.planting import Ground, Planted, encoded, planted
from cxr_tasks.sources.phantoms.layouts.dicom_form import DicomForm
from cxr_tasks.sources.phantoms.layouts.files import PhantomFile

#: Sides that a bomb's header claims; as pixels they would take 3.6 GB.
BOMB_SIDE_PX = 60_000
TINY_SIDE_PX = 40
#: What desktops and archive tools leave behind, inside a folder of images.
LITTER_NAMES = (".DS_Store", "__MACOSX", "Thumbs.db", "._image.png", "desktop.ini")

Plant = Callable[[Ground, int], list[Planted]]


def with_content(fault: str, content: Callable[[Ground, PhantomFile], bytes]) -> Plant:
    """A fault that gives files other bytes."""

    def plant(ground: Ground, n: int) -> list[Planted]:
        files = ground.take(n)
        for file in files:
            ground.path(file).write_bytes(content(ground, file))
        return planted(fault, files)

    return plant


def with_picture(fault: str, change: Callable[[np.ndarray], np.ndarray]) -> Plant:
    """A fault that gives files another picture, in the form they have."""

    def plant(ground: Ground, n: int) -> list[Planted]:
        files = ground.take(n)
        for file in files:
            ground.write_pixels(file, change(ground.pixels(file)))
        return planted(fault, files)

    return plant


def with_header(fault: str, change: Callable[[DicomForm], DicomForm]) -> Plant:
    """A fault that gives DICOM files another header."""

    def plant(ground: Ground, n: int) -> list[Planted]:
        files = ground.take(n)
        for file in files:
            ground.write_pixels(file, ground.pixels(file), form=change(file.dicom) if file.dicom else None)
        return planted(fault, files)

    return plant


def no_bytes(ground: Ground, file: PhantomFile) -> bytes:
    return b""


def first_part(ground: Ground, file: PhantomFile) -> bytes:
    """The file without its last two fifths."""
    if file.dicom is not None:
        # RLE has no length that a reader could miss: its files are cut uncompressed.
        ground.write_pixels(file, ground.pixels(file), form=replace(file.dicom, compression="none"))
    whole = ground.path(file).read_bytes()
    return whole[: len(whole) * 3 // 5]


def web_page(ground: Ground, file: PhantomFile) -> bytes:
    """What a server sends in the place of a file that it does not find."""
    return b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body>Not Found</body></html>\n"


def bomb(ground: Ground, file: PhantomFile) -> bytes:
    """A PNG of some hundred bytes whose header claims 3.6 thousand million pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", BOMB_SIDE_PX, BOMB_SIDE_PX, 8, 0, 0, 0, 0)
    data = zlib.compress(b"\0" * 100_000, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def two_frames(ground: Ground, file: PhantomFile) -> bytes:
    """A picture that moves, as a PNG with two frames."""
    picture = Image.fromarray(ground.pixels(file))
    turned = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return encoded(picture, "PNG", save_all=True, append_images=[turned], duration=500)


def print_colours(ground: Ground, file: PhantomFile) -> bytes:
    """A JPEG in CMYK, as comes from a print shop."""
    return encoded(Image.fromarray(ground.pixels(file)).convert("CMYK"), "JPEG", quality=90)


def palette_colours(ground: Ground, file: PhantomFile) -> bytes:
    """A PNG with a palette: greys by number."""
    return encoded(Image.fromarray(ground.pixels(file)).convert("P"), "PNG")


def false_colours(ground: Ground, file: PhantomFile) -> bytes:
    """A PNG with a palette of colours, from blue to red: which grey a colour stands for nobody can tell."""
    picture = Image.fromarray(ground.pixels(file)).convert("P")
    picture.putpalette([part for grey in range(256) for part in (grey, 255 - abs(2 * grey - 255), 255 - grey)])
    return encoded(picture, "PNG")


def sixteen_bits(ground: Ground, file: PhantomFile) -> bytes:
    """A PNG of 16 bits."""
    return encoded(Image.fromarray(ground.pixels(file).astype(np.uint16) * 257), "PNG")


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((TINY_SIDE_PX, TINY_SIDE_PX)))


def one_grey(pixels: np.ndarray) -> np.ndarray:
    return np.full_like(pixels, 128)


def inverted(pixels: np.ndarray) -> np.ndarray:
    return 255 - pixels


def plant_unreadable(ground: Ground, n: int) -> list[Planted]:
    """Files without permission to read them. Whoever may read everything (root) reads them all the same."""
    files = ground.take(n)
    for file in files:
        ground.path(file).chmod(0)
    return planted("unreadable", files)


def plant_pipe(ground: Ground, n: int) -> list[Planted]:
    """Named pipes in the places of files: a careless reader waits for ever."""
    files = ground.take(n)
    for file in files:
        ground.path(file).unlink()
        os.mkfifo(ground.path(file))
    return planted("pipe", files)


def plant_link_outside(ground: Ground, n: int) -> list[Planted]:
    """Links out of the data folder in the places of files; this module is what they lead to."""
    files = ground.take(n)
    for file in files:
        ground.path(file).unlink()
        ground.path(file).symlink_to(Path(__file__))
    return planted("link_outside", files)


def plant_litter(ground: Ground, n: int) -> list[Planted]:
    """Files and folders that are not part of the data, beside images."""
    beside = ground.path(ground.files[0]).parent
    records = []
    for name in (LITTER_NAMES[i % len(LITTER_NAMES)] for i in range(n)):
        place = beside / name
        if name == "__MACOSX":
            place.mkdir(exist_ok=True)
            (place / "._0001.png").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
        else:
            place.write_bytes(b"\0\0\0\1Bud1")
        records.append(Planted(fault="litter", image_id=place.relative_to(ground.folder).as_posix()))
    return records


def plant_linked_folder(ground: Ground, n: int) -> list[Planted]:
    """Links to a folder outside the data folder, beside images; the folder of this module is what they lead to."""
    beside = ground.path(ground.files[0]).parent
    places = [beside / f"linked_{number}" for number in range(n)]
    for place in places:
        place.symlink_to(Path(__file__).parent, target_is_directory=True)
    return [Planted(fault="linked_folder", image_id=place.relative_to(ground.folder).as_posix()) for place in places]

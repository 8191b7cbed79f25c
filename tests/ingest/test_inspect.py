from __future__ import annotations

import hashlib
import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxr_tasks.ingest.inspect import Inspection, inspect_file
from cxr_tasks.sources.base import Refusal


def encoded(picture: Image.Image, file_format: str = "JPEG", **options) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, format=file_format, **options)
    return stream.getvalue()


def inspect_content(folder: Path, content: bytes) -> Inspection | Refusal:
    (folder / "a.jpeg").write_bytes(content)
    return inspect_file(folder, "a.jpeg")


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG header of that size with next to no data behind it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


def test_grey_png_gives_its_hashes_form_and_statistics(tmp_path):
    grey = np.zeros((64, 128), dtype=np.uint8)
    grey[:, 64:] = 255  # half black, half white
    content = encoded(Image.fromarray(grey), "PNG")
    found = inspect_content(tmp_path, content)
    assert isinstance(found, Inspection)
    assert found.file_sha256 == hashlib.sha256(content).hexdigest()
    assert (found.file_format, found.mode, found.width_px, found.height_px) == ("PNG", "L", 128, 64)
    assert found.mean == pytest.approx(0.5)
    assert found.deviation == pytest.approx(0.5)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA"])
def test_equal_grey_pixels_have_one_pixel_hash_whatever_holds_them(tmp_path, picture, mode):
    grey = picture(1)
    expected = inspect_content(tmp_path, encoded(grey, "PNG"))
    found = inspect_content(tmp_path, encoded(grey.convert(mode), "PNG"))
    assert found.mode == mode
    assert found.pixel_sha256 == expected.pixel_sha256
    assert found.mean == expected.mean


def test_pixel_hash_tells_shape_and_pixels_apart_but_not_encodings(tmp_path, picture):
    wide, other = picture(1, width=128, height=64), picture(2, width=128, height=64)
    high = Image.frombytes("L", (64, 128), wide.tobytes())  # the same bytes in another shape
    hashes = [inspect_content(tmp_path, encoded(one, "PNG")).pixel_sha256 for one in (wide, other, high)]
    again = inspect_content(tmp_path, encoded(wide, "BMP"))
    assert len(set(hashes)) == 3
    assert again.pixel_sha256 == hashes[0]


def test_sixteen_bit_grey_is_on_the_same_scale(tmp_path):
    grey = np.tile(np.linspace(0, 65535, 256).astype(np.uint16), (64, 1))
    found = inspect_content(tmp_path, encoded(Image.fromarray(grey), "PNG"))
    assert found.mode == "I;16"
    assert found.mean == pytest.approx(0.5, abs=0.001)
    assert found.deviation == pytest.approx(1 / np.sqrt(12), abs=0.002)


def test_statistics_agree_with_numpy(tmp_path, picture):
    one = picture(7, width=333, height=217)
    found = inspect_content(tmp_path, encoded(one, "PNG"))
    grey = np.asarray(one, dtype=float) / 255
    assert found.mean == pytest.approx(grey.mean(), abs=1e-12)
    assert found.deviation == pytest.approx(grey.std(), abs=1e-12)


def animation(n_frames: int = 3) -> bytes:
    frames = [Image.new("L", (80, 80), 60 * number) for number in range(n_frames)]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])


JPEG = encoded(Image.effect_noise((120, 100), 60))

CONTENTS = [
    (b"", "empty_file"),
    (b"<!DOCTYPE html><title>404</title>", "not_an_image"),  # an error page saved as .jpeg
    (b"\0" * 4096, "not_an_image"),  # a hole left by a broken copy
    (JPEG[: len(JPEG) // 2], "truncated"),
    (encoded(Image.effect_noise((120, 100), 60), "PNG")[:4000], "truncated"),
    (JPEG[:40], "damaged"),  # ends within the header
    (png_that_claims(20_000, 20_000), "too_many_pixels"),  # a decompression bomb
    (png_that_claims(12_000, 9_000), "too_many_pixels"),  # beyond our bound, within Pillow's
    (animation(), "animated"),
    (encoded(Image.effect_noise((80, 80), 60), "GIF"), "unsupported_format"),
    (encoded(Image.effect_noise((80, 80), 60), "TIFF"), "unsupported_format"),
    (encoded(Image.effect_noise((80, 80), 60).convert("CMYK")), "unsupported_mode"),
    (encoded(Image.effect_noise((80, 80), 60).convert("1"), "PNG"), "unsupported_mode"),
    (encoded(Image.effect_noise((80, 63), 60)), "too_small"),
    (encoded(Image.new("L", (80, 80), 128)), "blank"),
]


@pytest.mark.parametrize(("content", "reason"), CONTENTS)
def test_unusable_content_is_refused_with_its_reason(tmp_path, content, reason):
    found = inspect_content(tmp_path, content)
    assert isinstance(found, Refusal)
    assert (found.image_id, found.reason) == ("a.jpeg", reason)
    assert found.detail
    assert found.action


@pytest.mark.parametrize("side", [64, 65])
def test_the_smallest_side_is_usable(tmp_path, side):
    assert isinstance(inspect_content(tmp_path, encoded(Image.effect_noise((200, side), 60))), Inspection)


def test_any_cut_of_a_file_is_refused_or_complete_and_never_raises(tmp_path):
    for length in range(0, len(JPEG), 97):
        found = inspect_content(tmp_path, JPEG[:length])
        assert isinstance(found, Refusal), f"{length} of {len(JPEG)} bytes passed as a whole picture"


def test_damaged_bytes_never_raise(tmp_path):
    rng = np.random.default_rng(5)
    for _ in range(60):
        broken = bytearray(JPEG)
        for place in rng.integers(0, len(broken), 12):
            broken[place] = int(rng.integers(0, 256))
        assert isinstance(inspect_content(tmp_path, bytes(broken)), Inspection | Refusal)


def test_link_inside_the_folder_is_followed_and_one_leading_out_is_refused(tmp_path, picture):
    root = tmp_path / "root"
    root.mkdir()
    picture(1).save(root / "real.jpeg")
    picture(2).save(tmp_path / "outside.jpeg")
    (root / "inside.jpeg").symlink_to(root / "real.jpeg")
    (root / "out.jpeg").symlink_to(tmp_path / "outside.jpeg")
    (root / "broken.jpeg").symlink_to(root / "nowhere.jpeg")
    assert inspect_file(root, "inside.jpeg") == inspect_file(root, "real.jpeg")
    assert inspect_file(root, "out.jpeg").reason == "link_outside"
    assert inspect_file(root, "broken.jpeg").reason == "missing_file"


def test_a_pipe_is_refused_and_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpeg")
    assert inspect_file(tmp_path, "pipe.jpeg").reason == "not_a_file"


def test_a_file_without_permission_is_refused(tmp_path, picture, monkeypatch):
    picture(1).save(tmp_path / "a.jpeg")

    def refuse(path, flags):  # tests often run as root, whom no permission stops
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "open", refuse)
    assert inspect_file(tmp_path, "a.jpeg").reason == "no_permission"


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "file_format", "mode", "size"),
    [
        ("kermany/IM-0521-0001.jpeg", "JPEG", "L", (2890, 2534)),
        ("kermany/person276_virus_569.jpeg", "JPEG", "RGB", (546, 219)),
        ("kermany/person1716_bacteria_4533.jpeg", "JPEG", "RGB", (564, 194)),
        ("nih14/00000004_000.png", "PNG", "RGBA", (1024, 1024)),
        ("nih14/00027426_000.png", "PNG", "L", (512, 512)),
    ],
)
def test_originals_of_odd_form_are_usable(shared_data, name, file_format, mode, size):
    found = inspect_file(shared_data / "raw_samples", name)
    assert isinstance(found, Inspection)
    assert (found.file_format, found.mode, (found.width_px, found.height_px)) == (file_format, mode, size)

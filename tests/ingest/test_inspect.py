from __future__ import annotations

import hashlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from xxhash import xxh3_128_hexdigest

from cxr_tasks.images.inspection.picture import decode
from cxr_tasks.ingest.inspection.inspect import Inspection, open_files
from cxr_tasks.sources.base import Refusal
from tests.ingest.inspected_files import inspect_file, inspect_files


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
    assert found.pixel_hash == xxh3_128_hexdigest(grey.tobytes() + b":128x64x255")
    assert (found.file_format, found.mode, found.width_px, found.height_px) == ("PNG", "L", 128, 64)
    assert (found.bit_depth, found.mean, found.deviation, found.entropy) == (8, 0.5, 0.5, 1.0)
    assert len(found.perceptual_hash) == 64
    assert found.header is None


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA"])
def test_equal_grey_pixels_have_one_pixel_hash_whatever_holds_them(tmp_path, picture, mode):
    grey = picture(1)
    expected = inspect_content(tmp_path, encoded(grey, "PNG"))
    found = inspect_content(tmp_path, encoded(grey.convert(mode), "PNG"))
    assert found.mode == mode
    assert found.pixel_hash == expected.pixel_hash
    assert found.mean == expected.mean


def test_pixel_hash_tells_shape_and_pixels_apart_but_not_encodings(tmp_path, picture):
    wide, other = picture(1, width=128, height=64), picture(2, width=128, height=64)
    high = Image.frombytes("L", (64, 128), wide.tobytes())  # the same bytes in another shape
    hashes = [inspect_content(tmp_path, encoded(one, "PNG")).pixel_hash for one in (wide, other, high)]
    again = inspect_content(tmp_path, encoded(wide, "BMP"))
    assert len(set(hashes)) == 3
    assert again.pixel_hash == hashes[0]


def test_sixteen_bit_grey_is_on_the_same_scale(tmp_path):
    grey = np.tile(np.linspace(0, 65535, 256).astype(np.uint16), (64, 1))
    found = inspect_content(tmp_path, encoded(Image.fromarray(grey), "PNG"))
    assert found.mode == "I;16"
    assert found.mean == pytest.approx(0.5, abs=0.003)
    assert found.deviation == pytest.approx(1 / np.sqrt(12), abs=0.003)


def test_jpeg_pixels_are_those_of_pillow(tmp_path, picture):
    """Grey values come from simplejpeg, the pixels trained on from TensorFlow; all three decode with libjpeg-turbo."""
    content = encoded(picture(4, width=333, height=217), quality=85)
    found = inspect_content(tmp_path, content)
    grey = np.asarray(Image.open(io.BytesIO(content)))
    assert found.pixel_hash == xxh3_128_hexdigest(grey.tobytes() + b":333x217x255")


def test_colour_of_a_jpeg_does_not_matter(tmp_path, picture):
    grey = picture(4).resize((300, 200), Image.Resampling.BICUBIC)
    one, other = (inspect_content(tmp_path, encoded(grey.convert(mode), quality=90)) for mode in ("L", "RGB"))
    assert (one.mode, other.mode) == ("L", "RGB")
    assert one.pixel_hash == other.pixel_hash


@pytest.mark.parametrize(
    ("size", "decoded"),
    [
        ((1500, 2047), (1500, 2047)),  # a half would be under 1024
        ((2048, 2050), (1024, 1025)),
        ((4100, 4096), (1025, 1024)),
    ],
)
def test_large_jpegs_are_decoded_at_reduced_scale_and_keep_their_size(tmp_path, size, decoded):
    coarse = Image.fromarray(np.random.default_rng(1).integers(0, 256, (20, 20), dtype=np.uint8))
    content = encoded(coarse.resize(size, Image.Resampling.BILINEAR), quality=50)
    assert decode(content).grey.shape == decoded[::-1]
    found = inspect_content(tmp_path, content)
    assert (found.width_px, found.height_px) == size
    assert found == inspect_content(tmp_path, content)


def animation(n_frames: int = 3) -> bytes:
    frames = [Image.new("L", (80, 80), 60 * number) for number in range(n_frames)]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])


def coloured_palette() -> bytes:
    """A picture in false colours."""
    picture = Image.effect_noise((120, 100), 60).convert("P")
    picture.putpalette([value for index in range(256) for value in (index, 255 - index, 128)])
    return encoded(picture, "PNG")


JPEG = encoded(Image.effect_noise((120, 100), 60))

CONTENTS = [
    (b"", "empty_file"),
    (b"<!DOCTYPE html><title>404</title>", "not_an_image"),  # an error page saved as .jpeg
    (b"\0" * 4096, "not_an_image"),  # a hole left by a broken copy
    (JPEG[: len(JPEG) // 2], "truncated"),
    (encoded(Image.effect_noise((120, 100), 60), "PNG")[:4000], "truncated"),
    (JPEG[:40], "truncated"),  # ends within the header
    (png_that_claims(20_000, 20_000), "too_many_pixels"),  # a decompression bomb
    (png_that_claims(12_000, 9_000), "too_many_pixels"),  # beyond our bound, within Pillow's
    (animation(), "unsupported_format"),
    (encoded(Image.effect_noise((80, 80), 60), "GIF"), "unsupported_format"),
    (encoded(Image.effect_noise((80, 80), 60), "TIFF"), "unsupported_format"),
    (encoded(Image.effect_noise((80, 80), 60).convert("CMYK")), "unsupported_mode"),
    (encoded(Image.effect_noise((80, 80), 60).convert("1"), "PNG"), "unsupported_mode"),
    (encoded(Image.effect_noise((80, 63), 60)), "too_small"),
    (encoded(Image.new("L", (80, 80), 128)), "blank"),
    (coloured_palette(), "colour"),
    (b"\0" * 128 + b"DICM" + b"\0" * 100, "no_pixels"),  # a DICOM file with nothing in it
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


SMALL = {
    "JPEG": encoded(Image.effect_noise((72, 66), 60), quality=60),
    "colour JPEG": encoded(Image.effect_noise((72, 66), 60).convert("RGB"), quality=60),
    "progressive JPEG": encoded(Image.effect_noise((72, 66), 60), quality=60, progressive=True),
    "PNG": encoded(Image.effect_noise((72, 66), 60), "PNG"),
    "palette PNG": encoded(Image.effect_noise((72, 66), 60).convert("P"), "PNG"),
    "16-bit PNG": encoded(Image.fromarray(np.arange(72 * 66, dtype=np.uint16).reshape(66, 72) * 13), "PNG"),
    "BMP": encoded(Image.effect_noise((72, 66), 60), "BMP"),
}


@st.composite
def mutations(draw) -> bytes:
    """A small picture with bytes changed, cut out, doubled or its end lost."""
    content = bytearray(SMALL[draw(st.sampled_from(sorted(SMALL)))])
    for _ in range(draw(st.integers(1, 8))):
        place = draw(st.integers(0, max(len(content) - 1, 0)))
        kind = draw(st.sampled_from(["change", "change near the front", "cut", "double", "end"]))
        if kind == "change" and content:
            content[place] = draw(st.integers(0, 255))
        elif kind == "change near the front" and content:
            content[min(place % 64, len(content) - 1)] = draw(st.integers(0, 255))
        elif kind == "cut":
            del content[place : place + draw(st.integers(1, 40))]
        elif kind == "double":
            content[place:place] = content[place : place + draw(st.integers(1, 40))]
        else:
            del content[place:]
    return bytes(content)


@given(content=mutations() | st.binary(max_size=300))
@settings(max_examples=120, deadline=None)
def test_whatever_the_bytes_there_is_an_inspection_or_a_refusal(tmp_path_factory, content):
    folder = tmp_path_factory.getbasetemp()
    found = inspect_content(folder, content)
    assert isinstance(found, Inspection | Refusal)
    if isinstance(found, Refusal):
        assert found.reason and found.detail and found.action
    assert found == inspect_content(folder, content)


def test_a_batch_gives_what_its_files_give_alone(tmp_path, picture):
    names = []
    for number, content in enumerate([*SMALL.values(), b"", b"no image", encoded(picture(3, width=600, height=700))]):
        names.append(f"{number}.jpeg")
        (tmp_path / names[-1]).write_bytes(content)
    together = inspect_files([(str(tmp_path), name) for name in names])
    assert together == [inspect_file(tmp_path, name) for name in names]
    assert [one.reason for one in together if isinstance(one, Refusal)] == ["empty_file", "not_an_image"]


def test_bytes_that_are_as_expected_are_not_decoded(tmp_path):
    (tmp_path / "a.jpeg").write_bytes(b"not even an image")
    expected = hashlib.sha256(b"not even an image").hexdigest()
    opened = open_files([(str(tmp_path), "a.jpeg", expected), (str(tmp_path), "a.jpeg", "0" * 64)])
    assert opened[0].found is None
    assert opened[1].found.reason == "not_an_image"


@pytest.mark.parametrize(
    ("content", "bit_depth"),
    [
        (encoded(Image.effect_noise((72, 66), 60), "PNG"), 8),
        (encoded(Image.effect_noise((72, 66), 60).convert("RGBA"), "PNG"), 8),
        (encoded(Image.fromarray(np.arange(72 * 66, dtype=np.uint16).reshape(66, 72) * 13), "PNG"), 16),
        (encoded(Image.effect_noise((72, 66), 60).quantize(16), "PNG", bits=4), 4),
        (JPEG, 8),
    ],
)
def test_bit_depth_is_that_of_the_file(tmp_path, content, bit_depth):
    assert inspect_content(tmp_path, content).bit_depth == bit_depth


@pytest.mark.parametrize(("pixels", "flags"), [(0, ""), (255, "inverted_suspected")])
def test_inverted_pictures_are_flagged_and_kept(tmp_path, pixels, flags):
    chest = np.full((96, 96), 20, np.uint8)
    chest[9:, 12:84] = 150
    chest[18:66, 17:37] = chest[18:66, 59:79] = 60
    chest[:, 42:54] = 200
    assert inspect_content(tmp_path, encoded(Image.fromarray(chest ^ pixels), "PNG")).flags == flags


@pytest.mark.data
def test_dicom_gives_pixels_and_header(shared_data, cxr_home):
    found = {path.name: inspect_file(path.parent, path.name) for path in (shared_data / "dicom").glob("*/*.dcm")}
    usable = [one for one in found.values() if isinstance(one, Inspection)]
    assert len(usable) == 2
    assert {one.file_format for one in usable} == {"DICOM"}
    assert sorted((one.mode, one.bit_depth) for one in usable) == [("I;16", 15), ("L", 8)]
    assert all(one.header is not None for one in usable)
    assert [one.reason for one in found.values() if isinstance(one, Refusal)] == ["wrong_body_part"]


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


def test_what_is_said_of_a_broken_file_is_the_same_each_time_and_of_the_file(tmp_path):
    """A letter of its second chunk's name is another: Pillow's message would name an object in memory."""
    stream = io.BytesIO()
    picture = Image.new("P", (72, 66))
    picture.putpalette(list(range(256)) * 3)
    picture.save(stream, "PNG")
    content = stream.getvalue().replace(b"PLTE", b"\0LTE")
    found = inspect_content(tmp_path, content)
    assert (found.reason, found.detail) == (
        "damaged",
        "the data of the picture are damaged or end early: no whole picture can be decoded from them",
    )

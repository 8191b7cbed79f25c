"""One rule for the range of grey: ingest, prepare, the served graph and DICOM files show the same values alike."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from cxr_tasks.images.dicom import dicom_as_png, read_dicom
from cxr_tasks.images.inspection.picture import decode
from cxr_tasks.images.pixels import decode_grey
from tests.images.dicom.files import dicom_file

pytestmark = pytest.mark.tf

GREY, RGB, GREY_ALPHA, RGBA = 0, 2, 4, 6
SIDE = 72


def png(levels: np.ndarray, colour: int, *, says: bytes = b"") -> bytes:
    """A PNG of 16 bits, written by hand, as Pillow writes no colour of 16 bits."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width = levels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    extra = chunk(b"sBIT", says) if says else b""
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def ramp(top: int) -> np.ndarray:
    return np.linspace(0, top, SIDE * SIDE).round().astype(np.uint16).reshape(SIDE, SIDE)


def stored(levels: np.ndarray, colour: int) -> np.ndarray:
    """The samples of a picture of these greys; alpha, where there is one, is noise that must not show."""
    n = {GREY: 1, RGB: 3, GREY_ALPHA: 1, RGBA: 3}[colour]
    samples = np.stack([levels] * n, axis=-1)
    if colour in {GREY_ALPHA, RGBA}:
        alpha = np.random.default_rng(1).integers(0, 65536, (*levels.shape, 1)).astype(np.uint16)
        samples = np.concatenate([samples, alpha], axis=-1)
    return samples


@pytest.mark.parametrize("colour", [GREY, RGB, GREY_ALPHA, RGBA])
@pytest.mark.parametrize(
    ("top", "white"),
    [
        (65535, 65535),
        (40000, 65535),
        (32767, 32767),
        (16383, 16383),
        (4095, 4095),
        (3000, 4095),
        (1023, 1023),
        (200, 255),
    ],
)
def test_a_png_of_16_bits_is_shown_over_the_range_that_its_values_can_have(colour, top, white):
    content = png(stored(ramp(top), colour), colour)
    expected = ramp(top) / white
    picture = decode(content)
    assert (picture.white, picture.form.bit_depth) == (white, 16)
    assert np.array_equal(picture.grey, ramp(top))
    served = decode_grey(content).numpy()[..., 0]
    assert served == pytest.approx(expected * 255, abs=2e-5)


def test_where_the_file_says_that_all_16_bits_count_it_is_believed():
    content = png(stored(ramp(4095), GREY), GREY, says=b"\x10")
    assert decode(content).white == 65535
    assert decode_grey(content).numpy()[..., 0] == pytest.approx(ramp(4095) / 257, abs=2e-5)
    # Of 12 significant bits, spread over all 16 or not: the values tell.
    assert decode(png(stored(ramp(4095), GREY), GREY, says=b"\x0c")).white == 4095


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 15, 16])
@pytest.mark.parametrize("is_signed", [False, True])
@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_dicom_and_png_show_the_same_values_alike(bits, is_signed, kind):
    levels = ramp((1 << bits) - 1).astype(np.int64)
    shift = 1 << (bits - 1) if is_signed else 0
    held = (levels - shift).astype(np.int16 if is_signed else np.uint16)
    content = dicom_file(held, bits_stored=bits, PhotometricInterpretation=kind)
    shown = levels if kind == "MONOCHROME2" else (1 << bits) - 1 - levels
    image = read_dicom(content)
    white = 255 if bits == 8 else 65535
    assert image.pixels / white == pytest.approx(shown / ((1 << bits) - 1), abs=1e-5)
    as_png = decode_grey(png(stored(shown.astype(np.uint16), GREY), GREY)).numpy()[..., 0]
    as_dicom = decode_grey(dicom_as_png(content)).numpy()[..., 0]
    assert as_dicom == pytest.approx(as_png, abs=0.003)  # 1/65535 of white


def test_a_dark_picture_of_a_dicom_file_is_not_brightened_once_more():
    """Its window leaves it dark on purpose; the PNG that stands for it is taken as it is."""
    dim = np.clip(ramp(4095), 0, 400)
    content = dicom_file(dim, bits_stored=12, WindowCenter=600, WindowWidth=1200)
    served = decode_grey(dicom_as_png(content)).numpy()[..., 0]
    assert served / 255 == pytest.approx(read_dicom(content).pixels / 65535, abs=1e-5)
    assert served.max() < 0.4 * 255

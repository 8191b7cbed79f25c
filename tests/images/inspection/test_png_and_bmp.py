"""PNG and BMP files as odd or broken writers leave them: same pixels, or refused, at ingest and in the graph."""

from __future__ import annotations

import random
import struct
import zlib

import numpy as np
import pytest

from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.images.inspection.picture import decode
from cxr_tasks.images.inspection.unusable import Unusable
from tests.image_files import RGB, chunk, encoded, smooth

GREY = np.asarray(smooth())
HEIGHT, WIDTH = GREY.shape
ENDING_BLACK = np.vstack([GREY[:80], np.zeros((20, WIDTH), np.uint8)])
LEVELS = b"".join(bytes([level] * 3) for level in range(256))


def rows(values: np.ndarray) -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in values)


def header(depth: int = 8, colour: int = 0, *, packing: int = 0, interlace: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, colour, packing, 0, interlace))


def png(*before: bytes, data: bytes | None = None, first: bytes | None = None, behind: bytes = b"") -> bytes:
    """A PNG of ``GREY`` with chunks before and behind its pixels; ``data`` are whole chunks in their place."""
    pixels = chunk(b"IDAT", zlib.compress(rows(GREY))) if data is None else data
    return b"\x89PNG\r\n\x1a\n" + (first or header()) + b"".join(before) + pixels + behind + chunk(b"IEND", b"")


def spoilt(kind: bytes, content: bytes) -> bytes:
    """A chunk with a wrong checksum."""
    whole = chunk(kind, content)
    return whole[:-1] + bytes([whole[-1] ^ 1])


def pixels(data: bytes) -> bytes:
    return chunk(b"IDAT", data)


def deep(rgb: np.ndarray) -> bytes:
    return png(data=pixels(zlib.compress(rows(rgb.astype(">u2")))), first=header(16, 2))


PACKED = zlib.compress(rows(GREY))
SWOLLEN = zlib.compress(b"\0" * (80 << 20), 9)
FRAME = struct.pack(">IIIIIHHBB", 0, WIDTH // 2, HEIGHT, 0, 0, 1, 1, 0, 0)
TWELVE = GREY.astype(np.uint16) * 16
BMP = encoded(RGB, "BMP")

TAKEN = {
    "comment with a wrong checksum": png(spoilt(b"tEXt", b"a\0b")),
    "comment with a wrong checksum behind": png(behind=spoilt(b"tEXt", b"a\0b")),
    "comment that swells": png(chunk(b"zTXt", b"a\0\0" + SWOLLEN)),
    "comment in Unicode that swells": png(chunk(b"iTXt", b"a\0\1\0\0\0" + SWOLLEN)),
    "colour profile that swells": png(chunk(b"iCCP", b"a\0\0" + SWOLLEN)),
    "many comments": png(*[chunk(b"zTXt", b"a\0\0" + zlib.compress(b"\0" * 1_000_000))] * 80),
    "one frame smaller than the picture": png(chunk(b"acTL", struct.pack(">II", 1, 0)), chunk(b"fcTL", FRAME)),
    "private chunk": png(chunk(b"abCd", b"x")),
    "palette for a grey picture": png(chunk(b"PLTE", LEVELS[:30])),
    "pixels in many pieces": png(data=b"".join(pixels(PACKED[at : at + 50]) for at in range(0, len(PACKED), 50))),
    "more rows than there should be": png(data=pixels(zlib.compress(rows(np.vstack([GREY, GREY]))))),
    "last rows black": png(data=pixels(zlib.compress(rows(ENDING_BLACK)))),
    "BMP filled up": BMP + b"\0" * 2,
    "BMP with more behind": BMP + b"made by a scanner",
}
REFUSED = {
    "pixels with a wrong checksum": png(data=spoilt(b"IDAT", PACKED)),
    "end with a wrong checksum": png()[:-12] + spoilt(b"IEND", b""),
    "header with a wrong checksum": png(first=spoilt(b"IHDR", header()[8:-4])),
    "rows missing": png(data=pixels(zlib.compress(rows(GREY[:70])))),
    "rows missing of a picture from coarse to fine": png(
        data=pixels(zlib.compress(rows(GREY[:30]))), first=header(interlace=1)
    ),
    "black rows missing": png(data=pixels(zlib.compress(rows(ENDING_BLACK[:90])))),
    "half a row missing": png(data=pixels(zlib.compress(rows(GREY)[:-60]))),
    "pixels in two places": png(data=pixels(PACKED[:200]) + chunk(b"tEXt", b"a\0b") + pixels(PACKED[200:])),
    "needed chunk that is not known": png(chunk(b"ABCD", b"x")),
    "chunk without a name": png(chunk(b"a\xff\0d", b"x")),
    "two headers": png(header()),
    "no palette": png(first=header(colour=3)),
    "palette cut": png(chunk(b"PLTE", LEVELS[:-1]), first=header(colour=3)),
    "palette too long": png(chunk(b"PLTE", LEVELS + b"\0\0\0"), first=header(colour=3)),
    "unknown packing": png(first=header(packing=1)),
    "colour map in 12 of 16 bits": deep(np.stack([TWELVE, TWELVE // 4, 4095 - TWELVE], axis=-1)),
    "BMP of an unknown header": BMP[:14] + struct.pack("<I", 44) + BMP[18:],
}


def taken_at_ingest(content: bytes) -> np.ndarray | None:
    """Grey in [0, 255]; None of a file that is refused."""
    try:
        picture = decode(content)
    except Unusable:
        return None
    return picture.grey * (255.0 / picture.white)


@pytest.fixture(scope="module")
def in_graph():
    """The refusals of some files, '' of each that is taken, as prepare and the server judge them."""
    import tensorflow as tf

    from cxr_tasks.images.batches import judged_pixels

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
    def refusals(contents):
        return judged_pixels(contents, PixelSpec(size_px=32)).refusal

    return lambda contents: [refusal.decode() for refusal in refusals(tf.constant(contents)).numpy()]


@pytest.mark.parametrize("name", TAKEN)
def test_ingest_takes_it(name):
    expected = ENDING_BLACK if name == "last rows black" else GREY
    assert np.array_equal(taken_at_ingest(TAKEN[name]), expected)


@pytest.mark.parametrize("name", REFUSED)
def test_ingest_refuses_it(name):
    assert taken_at_ingest(REFUSED[name]) is None


@pytest.mark.tf
def test_the_graph_takes_and_refuses_the_same(in_graph):
    contents = {**TAKEN, **REFUSED}
    found = dict(zip(contents, in_graph(list(contents.values())), strict=True))
    assert {name for name, refusal in found.items() if refusal} == set(REFUSED)


@pytest.mark.tf
@pytest.mark.parametrize("name", TAKEN)
def test_the_graph_shows_the_same_pixels(name):
    from cxr_tasks.images.pixels import decode_grey

    assert np.array_equal(decode_grey(TAKEN[name]).numpy()[..., 0], taken_at_ingest(TAKEN[name]))


@pytest.mark.tf
@pytest.mark.parametrize("share", [0.01, 0.04])
@pytest.mark.parametrize("top", [4095, 65535])
def test_a_coloured_mark_in_16_bits_is_judged_alike_whatever_range_the_values_have(in_graph, share, top):
    rgb = np.stack([GREY.astype(np.float64) * (top / 255)] * 3, axis=-1).round().astype(np.uint16)
    side = round((share * GREY.size) ** 0.5)
    rgb[10 : 10 + side, 10 : 10 + side] = (top, 0, 0)
    is_refused = share > 0.02
    assert (taken_at_ingest(deep(rgb)) is None) is is_refused
    assert [bool(refusal) for refusal in in_graph([deep(rgb)])] == [is_refused]


@pytest.mark.tf
@pytest.mark.parametrize("with_checksum", [False, True])
def test_damaged_data_are_judged_alike(in_graph, with_checksum):
    """Bytes changed anywhere, as a bad disk or line does; with a checksum made anew, as a tool for repair does."""
    chance = random.Random(11)
    contents = []
    for _ in range(150):
        if with_checksum:
            data = bytearray(PACKED)
            data[chance.randrange(2, len(data))] = chance.randrange(256)
            contents.append(png(data=pixels(bytes(data))))
        else:
            content = bytearray(png(chunk(b"tEXt", b"a\0" + b"b" * 200)))
            content[chance.randrange(8, len(content))] = chance.randrange(256)
            contents.append(bytes(content))
    expected = [bool(refusal) for refusal in in_graph(contents)]
    assert any(expected) and all(expected) == with_checksum  # zlib has a checksum of its own
    assert [taken_at_ingest(content) is None for content in contents] == expected

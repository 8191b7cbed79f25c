"""Which image files are taken, by first bytes and header: the same in ``ingest``, ``prepare`` and the served graph.

``images.inspection.file_header`` keeps these rules in plain Python, ``images.graph.headers`` in TensorFlow ops; a test
holds the two against each other.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.specs import in_range

#: First bytes of the files that are taken. Nothing else is ever given to a decoder: those of TensorFlow also take GIF,
#: WebP and JPEG XL, whatever their op is called, and an animated WebP ended a server.
JPEG_START = b"\xff\xd8\xff"
PNG_START = b"\x89PNG\r\n\x1a\n"
BMP_START = b"BM"
#: Lengths of the header of a BMP, each with the fields that are read here; any other is of no writer.
BMP_HEADER_BYTES = (40, 52, 56, 64, 108, 124)
TAKEN = "JPEG, PNG or BMP"
#: So many first bytes are named when a file is refused.
BYTES_SHOWN = 12
#: Where, which bytes, of what: so that a refusal can name the format. The first that fits counts.
KNOWN_STARTS = (
    (0, b"GIF8", "a GIF"),
    (8, b"WEBP", "a WebP"),
    (0, b"\x00\x00\x00\x0cJXL ", "a JPEG XL"),
    (0, b"\xff\x0a", "a JPEG XL"),
    (0, b"\x00\x00\x00\x0cjP  ", "a JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000"),
    (4, b"ftypavi", "an AVIF"),
    (4, b"ftyphei", "a HEIC"),
    (4, b"ftypmif", "a HEIC"),
    (0, b"II*\x00", "a TIFF"),
    (0, b"MM\x00*", "a TIFF"),
    (0, b"%PDF", "a PDF"),
    (0, b"PK\x03\x04", "a ZIP"),
    (0, b"\x1f\x8b", "a gzip"),
)
UNKNOWN = "an unknown"

#: The largest X-ray detectors give about 20 million pixels.
MOST_MEGAPIXELS = 64
MOST_IMAGES = 64
#: What sets the two for an export.
LIMIT_VARIABLES = {"megapixels": "CXR_MOST_MEGAPIXELS", "images": "CXR_MOST_IMAGES"}
#: Segments of a JPEG or chunks of a PNG before its pixels; a file has some ten, with colour profiles some fifty.
MOST_SEGMENTS = 600
#: Scans of a JPEG that comes in several; encoders write some ten. Each costs a pass over all of its pixels.
MOST_SCANS = 100
#: What a decoder makes of a block of a JPEG without data, in every channel, and how far chroma's smoothing may move it.
MISSING_GREY, MISSING_ABOUT = 128, 2
JPEG_BLOCK_PX = 8
#: Put in where the data of a scan end: bits that continue any picture that lacks some, and that a whole one never
#: reads. No byte is 0xFF, which would begin a marker.
FURTHER_BITS = bytes(random.Random(20261129).choices(range(255), k=4096))
#: From byte 37 of a PNG: a chunk sBIT right behind the header that says that 16 bits are significant (PNG, 11.3.2.3).
ALL_BITS_COUNT = b"sBIT\x10"
#: An eXIf chunk behind a PNG's pixels is looked for in so many last bytes.
PNG_TAIL_BYTES = 66_000
#: Entries of an EXIF directory that are looked at; cameras write some fifteen.
MOST_EXIF_ENTRIES = 256
ORIENTATION_TAG = 0x0112

#: A pixel is coloured where its red, green and blue differ by more of 255; JPEG's chroma moves grey by less.
MOST_TINT = 24
#: With a larger share of coloured pixels a picture is refused: the luma of a colour map is not the grey that was. Up
#: to it, it holds a coloured mark, is taken as luma and flagged.
MOST_COLOURED = 0.02


class Problem(IntEnum):
    """Why a file is refused before or while it is decoded."""

    NONE = 0
    EMPTY = 1
    OTHER_FORMAT = 2
    DAMAGED_HEADER = 3
    ENDS_EARLY = 4
    TOO_MANY_PIXELS = 5
    SEVERAL = 6
    JPEG_FORM = 7
    PNG_FORM = 8
    BMP_FORM = 9
    UNDECODABLE = 10
    COLOURED = 11


#: What a refusal says; those of the three others hold numbers or bytes of the file.
WORDS = {
    Problem.EMPTY: f"expected a {TAKEN} file, found 0 bytes",
    Problem.DAMAGED_HEADER: "the header of the file is damaged",
    Problem.ENDS_EARLY: "the picture ends early: its data are not all there",
    Problem.SEVERAL: "expected one picture, found a file of several (animated or multi-picture)",
    Problem.JPEG_FORM: "expected a JPEG of 8 bits in grey or RGB, found CMYK, 12 bits, lossless or arithmetic coding",
    Problem.PNG_FORM: "expected a PNG of at least 2 bits a value, found black and white without grey",
    Problem.BMP_FORM: "expected a BMP of 24 or 32 bits, or of 8 bits in grey, uncompressed; found another kind",
    Problem.UNDECODABLE: "the data of the picture are damaged or end early: no whole picture can be decoded from them",
}
COLOURED_WORDS = "red, green and blue differ as in a colour map, not a grey picture; coloured, in percent: "
MARK_WORDS = "holds a coloured mark, read as grey; coloured, in percent: "


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """What one request to the served graph may ask for; settings of the export."""

    megapixels: int = MOST_MEGAPIXELS
    """Pixels of one image, in millions."""
    images: int = MOST_IMAGES
    """Images of one request, or of what server-side batching makes of several."""

    def __post_init__(self) -> None:
        in_range("megapixels", self.megapixels, 1, 1000)
        in_range("images", self.images, 1, 4096)

    @property
    def pixels(self) -> int:
        """The largest image that is taken, in pixels."""
        return self.megapixels * 1_000_000


def requested_limits(environment: Mapping[str, str]) -> RequestLimits:
    """The limits that ``CXR_MOST_MEGAPIXELS`` and ``CXR_MOST_IMAGES`` ask for; those of ``RequestLimits`` without.

    Raises:
        ConfigurationError: One of them is no number, or out of its range.
    """
    given = {}
    for name, variable in LIMIT_VARIABLES.items():
        text = environment.get(variable, "").strip()
        if text and not (text.isascii() and text.isdecimal() and len(text) < 10):
            raise ConfigurationError(f"{variable}: expected a whole number, found {text!r}")
        if text:
            given[name] = int(text)
    return RequestLimits(**given)


def too_many_images_words(images: int) -> str:
    """The end of what is said of a request of too many images; their number stands before it."""
    return f" images in one request, at most {images} are taken: send the rest in further requests"


def format_name(content: bytes) -> str:
    """Which format the first bytes of ``content`` tell, with its article."""
    return next((name for at, start, name in KNOWN_STARTS if content[at : at + len(start)] == start), UNKNOWN)


def other_format_words(content: bytes) -> str:
    """What is said of a file that is not taken, with its first bytes in hex."""
    shown = content[:BYTES_SHOWN].hex(" ")
    return f"expected a {TAKEN} file, found {format_name(content)} file that begins with {shown}"


def too_many_pixels_words(width: int, height: int, megapixels: int) -> str:
    """What is said of an image of more pixels than ``megapixels`` million."""
    return f"{width} x {height} pixels, at most {megapixels} million are taken"

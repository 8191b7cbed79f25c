"""What the header of an image file says, read before any decoder sees the file; or why the file is refused.

The rules are those of the served graph (``cxr_tasks.images.graph.headers``), in plain Python.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from cxr_tasks.images.inspection.unusable import Unusable
from cxr_tasks.images.rules import (
    BMP_HEADER_BYTES,
    BMP_START,
    JPEG_START,
    MOST_EXIF_ENTRIES,
    MOST_MEGAPIXELS,
    MOST_SEGMENTS,
    ORIENTATION_TAG,
    PNG_START,
    PNG_TAIL_BYTES,
    UNKNOWN,
    WORDS,
    Problem,
    format_name,
    other_format_words,
    too_many_pixels_words,
)

#: Reason and action of the quarantine for each kind of refusal.
_REASONS = {
    Problem.EMPTY: ("empty_file", "fetch the file again"),
    Problem.OTHER_FORMAT: ("unsupported_format", "store the image as PNG"),
    Problem.DAMAGED_HEADER: ("damaged", "fetch the file again"),
    Problem.ENDS_EARLY: ("truncated", "fetch the file again"),
    Problem.TOO_MANY_PIXELS: ("too_many_pixels", "check where the file comes from"),
    Problem.SEVERAL: ("animated", "store each picture as a file"),
    Problem.JPEG_FORM: ("unsupported_mode", "store the image as greyscale"),
    Problem.PNG_FORM: ("unsupported_mode", "store the image as greyscale"),
    Problem.BMP_FORM: ("unsupported_mode", "store the image as PNG, in grey"),
    Problem.UNDECODABLE: ("damaged", "fetch the file again"),
}
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
#: Baseline, extended and progressive, all with Huffman codes.
_TAKEN_SOF = frozenset({0xC0, 0xC1, 0xC2})
_PNG_FORMS = {0: (2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_GREY_PALETTE = [bytes([level] * 3) for level in range(256)]


@dataclass(frozen=True, slots=True)
class FileHeader:
    """Size as stored, and how the picture is to be turned (EXIF, 1 to 8)."""

    file_format: str
    width: int
    height: int
    orientation: int
    frame_at: int = 0
    scan_at: int = 0
    """Where the first frame and the first scan of a JPEG begin."""


def refusal(problem: Problem, words: str = "") -> Unusable:
    """The quarantine's row for ``problem``."""
    reason, action = _REASONS[problem]
    return Unusable(reason, words or WORDS[problem], action)


def read_header(content: bytes) -> FileHeader:
    """The header of a JPEG, PNG or BMP file.

    Raises:
        Unusable: Another format by its first bytes, a damaged header, more pixels than are taken, several pictures,
            or a form that is not read as grey.
    """
    if not content:
        raise refusal(Problem.EMPTY)
    if content.startswith(JPEG_START):
        header = _jpeg(content)
    elif content.startswith(PNG_START):
        header = _png(content)
    elif content.startswith(BMP_START):
        header = _bmp(content)
    else:
        if format_name(content) == UNKNOWN:
            raise Unusable("not_an_image", other_format_words(content), "fetch the file again or remove it")
        raise refusal(Problem.OTHER_FORMAT, other_format_words(content))
    if header.width * header.height > MOST_MEGAPIXELS * 1_000_000:
        words = too_many_pixels_words(header.width, header.height, MOST_MEGAPIXELS)
        raise refusal(Problem.TOO_MANY_PIXELS, words)
    return header


def _jpeg(content: bytes) -> FileHeader:
    frame_at = tiff_at = scan_at = 0
    for at in _jpeg_segments(content):
        marker = content[at + 1]
        if marker == 0xDA:
            scan_at = at
        elif marker in _SOF and not frame_at:
            frame_at = at
        elif marker == 0xE1 and content[at + 4 : at + 10] == b"Exif\0\0" and not tiff_at:
            tiff_at = at + 10
        elif marker == 0xE2 and content[at + 4 : at + 8] == b"MPF\0":
            raise refusal(Problem.SEVERAL)
    if not frame_at:
        raise refusal(Problem.DAMAGED_HEADER)
    frame = content[frame_at + 1 : frame_at + 10].ljust(9, b"\0")
    marker, _, depth, height, width, n_channels = struct.unpack(">BHBHHB", frame)
    if marker not in _TAKEN_SOF or depth != 8 or n_channels not in (1, 3):
        raise refusal(Problem.JPEG_FORM)
    if not (width and height):
        raise refusal(Problem.DAMAGED_HEADER)
    orientation = exif_orientation(content, tiff_at) if tiff_at else 1
    return FileHeader("JPEG", width, height, orientation, frame_at, scan_at)


def _jpeg_segments(content: bytes) -> Iterator[int]:
    """The place of each segment up to that of the pixels (SOS), which must be reached and comes last."""
    at = 2
    for _ in range(MOST_SEGMENTS):
        if content[at : at + 2] == b"\xff\xda":
            yield at
            return
        if len(content) < at + 4:
            raise refusal(Problem.ENDS_EARLY)
        first, marker, size = struct.unpack_from(">BBH", content, at)
        if first != 0xFF or marker <= 0x01 or 0xD0 <= marker <= 0xD9:
            raise refusal(Problem.DAMAGED_HEADER)
        if marker == 0xFF:  # a byte of filling
            at += 1
            continue
        yield at
        at += 2 + size
    raise refusal(Problem.DAMAGED_HEADER)


def _png(content: bytes) -> FileHeader:
    head = content[8:29].ljust(21, b"\0")
    size, name, width, height, depth, colour = struct.unpack(">I4sIIBB", head[:18])
    if size != 13 or name != b"IHDR" or not 0 < width < 2**31 or not 0 < height < 2**31:
        raise refusal(Problem.DAMAGED_HEADER)
    tiff_at, n_frames, has_own_frame = 0, -1, False
    for at in _png_chunks(content):
        name, data = content[at + 4 : at + 8], content[at + 8 : at + 12]
        if name == b"acTL":
            n_frames = max(int.from_bytes(data.ljust(4, b"\0"), "big"), n_frames)
        has_own_frame |= name == b"fcTL"
        if name == b"eXIf" and not tiff_at:
            tiff_at = at + 8
    # Without a frame before the pixels these are no part of the animation, whose first picture is another.
    if n_frames > 1 or (n_frames >= 0 and not has_own_frame):
        raise refusal(Problem.SEVERAL)
    if not tiff_at:
        tiff_at = _late_exif(content)
    if (depth, colour) == (1, 0):
        raise refusal(Problem.PNG_FORM)
    if depth not in _PNG_FORMS.get(colour, ()):
        raise refusal(Problem.DAMAGED_HEADER)
    return FileHeader("PNG", width, height, exif_orientation(content, tiff_at) if tiff_at else 1)


def _png_chunks(content: bytes) -> Iterator[int]:
    """The place of each chunk up to the pixels (IDAT), which must be reached."""
    at = 8
    for _ in range(MOST_SEGMENTS):
        if len(content) < at + 8:
            raise refusal(Problem.ENDS_EARLY)
        size, name = struct.unpack_from(">I4s", content, at)
        if name == b"IDAT":
            return
        yield at
        at += 12 + size
    raise refusal(Problem.DAMAGED_HEADER)


def _late_exif(content: bytes) -> int:
    """Where the TIFF structure of an eXIf chunk behind the pixels begins; 0 without one."""
    start = max(0, len(content) - PNG_TAIL_BYTES)
    places = [content.find(b"eXIf" + order, start) for order in (b"II", b"MM")]
    later = [place for place in places if place >= 0]
    return min(later) + 4 if later else 0


def exif_orientation(content: bytes, tiff_at: int) -> int:
    """The orientation (1 to 8) in the TIFF structure at ``tiff_at``; 1 where there is none that makes sense.

    Source: Exif 2.32 (CIPA DC-008), 4.5 and 4.6.4 A.
    """
    order = {b"II": "<", b"MM": ">"}.get(content[tiff_at : tiff_at + 2])
    if order is None:
        return 1
    (offset,) = struct.unpack(order + "I", content[tiff_at + 4 : tiff_at + 8].ljust(4, b"\0"))
    directory = content[tiff_at + offset : tiff_at + offset + 2 + 12 * MOST_EXIF_ENTRIES]
    (n_entries,) = struct.unpack(order + "H", directory[:2].ljust(2, b"\0"))
    for number in range(min(n_entries, MOST_EXIF_ENTRIES)):
        entry = directory[2 + 12 * number : 14 + 12 * number].ljust(12, b"\0")
        tag, kind = struct.unpack(order + "HH", entry[:4])
        if tag == ORIENTATION_TAG and kind in (3, 4):
            (value,) = struct.unpack(order + ("H" if kind == 3 else "I"), entry[8 : 10 if kind == 3 else 12])
            return value if 1 <= value <= 8 else 1
    return 1


def _bmp(content: bytes) -> FileHeader:
    if len(content) < 54:
        raise refusal(Problem.ENDS_EARLY)
    pixels_at, size, width, height, _, depth, packed = struct.unpack_from("<IIiiHHI", content, 10)[:7]
    if size not in BMP_HEADER_BYTES or pixels_at < 14 + size or width <= 0 or height in {0, -(2**31)}:
        raise refusal(Problem.DAMAGED_HEADER)
    height = abs(height)
    if packed or depth not in (8, 24, 32) or (depth == 8 and not _has_grey_palette(content, 14 + size, pixels_at)):
        raise refusal(Problem.BMP_FORM)
    if len(content) < pixels_at + (width * depth + 31) // 32 * 4 * height:
        raise refusal(Problem.ENDS_EARLY)
    return FileHeader("BMP", width, height, 1)


def _has_grey_palette(content: bytes, at: int, end: int) -> bool:
    """Whether the stored values are the grey values: those of any other palette are not what TensorFlow reads."""
    palette = [content[place : place + 3] for place in range(at, at + 1024, 4)]
    return end == at + 1024 and palette == _GREY_PALETTE

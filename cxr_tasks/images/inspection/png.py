"""A PNG held to what the graph's decoder asks of it, and cut down to its picture.

Pillow passes over wrong checksums of the pixels, needed chunks that it does not know and rows that are not there; it
ends at a damaged or swollen comment, which is no part of the picture. libpng, which TensorFlow has, does neither.
"""

from __future__ import annotations

import zlib

from cxr_tasks.images.inspection.file_header import refusal
from cxr_tasks.images.rules import PNG_START, Problem

#: Chunks that the picture is made of; every other one with a capital first is needed too (PNG, 5.4) and not known.
_NEEDED = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_PALETTE, _MOST_PALETTE_BYTES = 3, 768
_CHANNELS = {0: 1, 2: 3, _PALETTE: 1, 4: 2, 6: 4}
#: Inflated at a time, so that a small file takes little memory whatever it swells to.
_PIECE = 1 << 20


def plain_png(content: bytes) -> bytes:
    """A PNG whose header is sound, without all that is no part of the picture: comments, profiles, animation.

    Raises:
        Unusable: A chunk that the picture needs is damaged, missing, out of place or unknown.
    """
    view, at, found = memoryview(content), 8, list[tuple[bytes, memoryview]]()
    while not found or found[-1][0] != b"IEND":
        size, name = int.from_bytes(view[at : at + 4], "big"), bytes(view[at + 4 : at + 8])
        chunk = view[at : at + 12 + size]
        if len(chunk) < 12 + size:
            raise refusal(Problem.ENDS_EARLY)
        if name[:1].isupper() or not name.isalpha():
            _check_needed(name, chunk)
            found.append((name, chunk))
        elif found[-1][0] == b"IDAT":
            # A mark that pixels behind it do not follow on those before.
            found.append((b"", view[:0]))
        at += 12 + size
    names = [name for name, _ in found]
    is_palette = content[25] == _PALETTE
    if not _in_order(names, is_palette=is_palette) or content[26:28] != b"\0\0":
        raise refusal(Problem.UNDECODABLE)
    kept = [chunk for name, chunk in found if name != b"PLTE" or is_palette]
    if any(name == b"PLTE" and not _is_palette(chunk) for name, chunk in found if is_palette):
        raise refusal(Problem.UNDECODABLE)
    return b"".join([PNG_START, *kept])


def check_rows(png: bytes) -> None:
    """``Unusable`` where the data of a ``plain_png`` hold fewer rows than its header says, or have no end."""
    width, height, depth, colour = (
        int.from_bytes(png[start:end], "big") for start, end in ((16, 20), (20, 24), (24, 25), (25, 26))
    )
    bits = depth * _CHANNELS[colour]
    passes = _passes(width, height) if png[28] else [(width, height)]
    missing = sum((1 + (columns * bits + 7) // 8) * rows for columns, rows in passes if columns)
    stream, data = zlib.decompressobj(), _pixel_data(png)
    try:
        while missing > 0 and (piece := stream.decompress(data, min(_PIECE, missing))):
            missing, data = missing - len(piece), stream.unconsumed_tail
        # One byte more asks for the end of the stream, with its checksum; more rows than there should be are no fault.
        is_whole = not missing and (stream.decompress(data, 1) != b"" or stream.eof)
    except zlib.error:
        is_whole = False
    if not is_whole:
        raise refusal(Problem.UNDECODABLE)


def is_interlaced(png: bytes) -> bool:
    """Whether the rows of a PNG come from coarse to fine."""
    return png[28] != 0


def _check_needed(name: bytes, chunk: memoryview) -> None:
    if name not in _NEEDED or zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
        raise refusal(Problem.UNDECODABLE)


def _in_order(names: list[bytes], *, is_palette: bool) -> bool:
    """One header, the palette where there must be one, then pixels without a break."""
    first = names.index(b"IDAT") if b"IDAT" in names else len(names)
    last = first + names.count(b"IDAT")
    is_unbroken = 0 < first < last and set(names[first:last]) == {b"IDAT"}
    n_palettes = names.count(b"PLTE")
    has_palette = not is_palette or (n_palettes == 1 and names.index(b"PLTE") < first)
    return is_unbroken and names[0] == b"IHDR" and names.count(b"IHDR") == 1 and n_palettes <= 1 and has_palette


def _is_palette(chunk: memoryview) -> bool:
    n_bytes = len(chunk) - 12
    return 0 < n_bytes <= _MOST_PALETTE_BYTES and n_bytes % 3 == 0


def _passes(width: int, height: int) -> list[tuple[int, int]]:
    """Columns and rows of each pass of Adam7 (PNG, 8.2)."""
    steps = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    return [(-(-(width - x) // across), -(-(height - y) // down)) for x, y, across, down in steps]


def _pixel_data(png: bytes) -> bytes:
    pieces, at = list[bytes](), 8
    while at < len(png):
        size = int.from_bytes(png[at : at + 4], "big")
        if png[at + 4 : at + 8] == b"IDAT":
            pieces.append(png[at + 8 : at + 8 + size])
        at += 12 + size
    return b"".join(pieces)

"""Size and bits that a compressed picture says it has, read before a decoder makes room for them."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from cxr_tasks.images.dicom.refused import damaged

JPEG_START = b"\xff\xd8"
J2K_START = b"\xff\x4f\xff\x51"
JP2_START = b"\x00\x00\x00\x0cjP  "

#: JPEG markers that hold the size: SOF0 to SOF15 without DHT, JPG and DAC, and SOF55 of JPEG-LS.
_FRAME_MARKERS = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
#: Markers without a length after them.
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})
_SCAN_MARKER = 0xDA


@dataclass(frozen=True, slots=True)
class CodestreamForm:
    """What a compressed picture says of itself."""

    rows: int
    columns: int
    n_samples: int
    """Of a pixel: 1 in grey, 3 in colour; a JPEG 2000 picture may claim 16,384."""
    bits: int
    """Of a sample, as compressed; a file may claim that fewer are in use."""


def codestream_form(codestream: bytes) -> CodestreamForm:
    """The form of a JPEG, JPEG-LS or JPEG 2000 picture.

    Raises:
        DicomRefused: It is none of these, or ends before it says so.
    """
    try:
        if codestream.startswith(JPEG_START):
            return _jpeg_form(codestream)
        if codestream.startswith(JP2_START):
            # A JP2 file around the codestream, which PS3.5 A.4.4 forbids and some write.
            return _j2k_form(codestream, codestream.index(J2K_START))
        if codestream.startswith(J2K_START):
            return _j2k_form(codestream, 0)
    except (struct.error, IndexError, ValueError):
        raise damaged("the compressed picture ends before its size is told") from None
    raise damaged("the pixels are no JPEG, JPEG-LS or JPEG 2000 picture, as the header says")


def _j2k_form(codestream: bytes, start: int) -> CodestreamForm:
    """From the SIZ segment, which comes first (ISO/IEC 15444-1 A.5.1)."""
    right, bottom, left, top = struct.unpack_from(">4I", codestream, start + 8)
    n_samples, sign_and_bits = struct.unpack_from(">HB", codestream, start + 40)
    return CodestreamForm(rows=bottom - top, columns=right - left, n_samples=n_samples, bits=(sign_and_bits & 0x7F) + 1)


def _jpeg_form(codestream: bytes) -> CodestreamForm:
    """From the frame header (ISO/IEC 10918-1 B.2.2, 14495-1 C.2.2)."""
    place = 2
    while True:
        if codestream[place] != 0xFF:
            raise damaged("the compressed picture holds something else where a JPEG marker should be")
        marker = codestream[place + 1]
        if marker in _FRAME_MARKERS:
            bits, rows, columns, n_samples = struct.unpack_from(">BHHB", codestream, place + 4)
            return CodestreamForm(rows=rows, columns=columns, n_samples=n_samples, bits=bits)
        if marker == _SCAN_MARKER:
            raise damaged("the compressed picture begins before its size is told")
        if marker == 0xFF:
            place += 1  # fill byte
        elif marker in _BARE_MARKERS:
            place += 2
        else:
            place += 2 + struct.unpack_from(">H", codestream, place + 2)[0]

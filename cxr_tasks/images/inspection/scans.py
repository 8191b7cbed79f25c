"""The scans of a JPEG, and whether they hold the whole picture, by the rule of ``images.graph.scans``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cxr_tasks.images.rules import MOST_SCANS, MOST_SEGMENTS

#: 0xFF that neither fills, nor stands for itself, nor restarts a scan.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_SOS, _EOI = 0xDA, 0xD9
_END = bytes([0xFF, _EOI])
_PROGRESSIVE = 0xC2
_COEFFICIENTS = 64


@dataclass(frozen=True, slots=True)
class Scans:
    """What the scans of one file hold."""

    is_whole: bool
    """Every coefficient of every component is sent to its last bit, in at most ``MOST_SCANS`` scans."""
    ends: tuple[int, ...]
    """The place behind the data of each scan."""
    is_one: bool
    """There is one scan for all: a decoder reads no further."""


def read_scans(content: bytes, frame_at: int, scan_at: int) -> Scans:
    """The scans of a JPEG file.

    Args:
        frame_at: Where the segment of the frame header begins.
        scan_at: Where that of the first scan does.
    """
    is_progressive, n_components = content[frame_at + 1] == _PROGRESSIVE, content[frame_at + 9]
    if not is_progressive and content[scan_at + 4 : scan_at + 5] == bytes([n_components]):
        end = content.find(_END, scan_at)
        return Scans(True, (end if end >= 0 else len(content),), is_one=True)
    ids = content[frame_at + 10 : frame_at + 10 + 3 * n_components : 3]
    missing = {component: [True] * _COEFFICIENTS for component in ids}
    at, ends = scan_at, list[int]()
    for _ in range(MOST_SEGMENTS):
        head = content[at : at + 16].ljust(16, b"\0")
        if len(ends) > MOST_SCANS or at >= len(content) or head[1] == _EOI:
            break
        is_scan = head[1] == _SOS
        if is_scan:
            n_sent = min(head[4], 4)
            first, last, low = head[5 + 2 * n_sent : 8 + 2 * n_sent] if is_progressive else (0, _COEFFICIENTS - 1, 0)
            for component in set(head[5 : 5 + 2 * n_sent : 2]) & set(ids):
                if low % 16 == 0:
                    missing[component][first : last + 1] = [False] * len(missing[component][first : last + 1])
        marker = _MARKER.search(content, at + 2 + int.from_bytes(head[2:4], "big"))
        at = marker.start() if marker else len(content)
        if is_scan:
            ends.append(at)
    is_whole = len(ends) <= MOST_SCANS and not any(map(any, missing.values()))
    return Scans(is_whole, tuple(ends), is_one=False)

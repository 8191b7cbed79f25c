"""Whether the scans of a JPEG hold the whole picture, by the rule of ``images.graph.scans``, in plain Python."""

from __future__ import annotations

import re

from cxr_tasks.images.rules import MOST_SCANS, MOST_SEGMENTS

#: 0xFF that neither fills, nor stands for itself, nor restarts a scan.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_SOS, _EOI = 0xDA, 0xD9
_PROGRESSIVE = 0xC2
_COEFFICIENTS = 64


def has_all_scans(content: bytes, frame_at: int, scan_at: int) -> bool:
    """Whether every coefficient of every component is sent to its last bit, in at most ``MOST_SCANS`` scans.

    Args:
        frame_at: Where the segment of the frame header begins.
        scan_at: Where that of the first scan does.
    """
    is_progressive, n_components = content[frame_at + 1] == _PROGRESSIVE, content[frame_at + 9]
    if not is_progressive and content[scan_at + 4 : scan_at + 5] == bytes([n_components]):
        return True  # one scan for all; a decoder reads no further
    ids = content[frame_at + 10 : frame_at + 10 + 3 * n_components : 3]
    missing = {one: [True] * _COEFFICIENTS for one in ids}
    at, n_scans = scan_at, 0
    for _ in range(MOST_SEGMENTS):
        head = content[at : at + 16].ljust(16, b"\0")
        if n_scans > MOST_SCANS or at >= len(content) or head[1] == _EOI:
            break
        if head[1] == _SOS:
            n_scans += 1
            n_sent = min(head[4], 4)
            first, last, low = head[5 + 2 * n_sent : 8 + 2 * n_sent] if is_progressive else (0, _COEFFICIENTS - 1, 0)
            for one in set(head[5 : 5 + 2 * n_sent : 2]) & set(ids):
                if low % 16 == 0:
                    missing[one][first : last + 1] = [False] * len(missing[one][first : last + 1])
        marker = _MARKER.search(content, at + 2 + int.from_bytes(head[2:4], "big"))
        at = marker.start() if marker else len(content)
    return n_scans <= MOST_SCANS and not any(map(any, missing.values()))

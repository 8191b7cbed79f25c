"""The body of an HTTP request: of a given length or in chunks, packed or not, and never larger than is taken."""

from __future__ import annotations

import socket
import time
import zlib
from email.message import Message
from io import BufferedIOBase

#: A line that begins a chunk, with whatever a client adds to it; trailers, together.
LONGEST_LINE = 4096
MOST_TRAILERS = 100
#: How long, and for how many bytes, a client that was refused may go on sending before the connection is cut.
LINGER_S = 30.0
IDLE_S = 5.0
LINGER_BYTES = 1 << 30


class BodyRefused(Exception):
    """Why a body is not taken; ``status`` is that of the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def check_length(headers: Message, limit: int) -> int | None:
    """The length that the headers of a request give; None of a body in chunks.

    Raises:
        BodyRefused: 413 where it is over ``limit``, 400 where the headers make no sense.
    """
    coding = headers.get("Transfer-Encoding", "").strip().lower()
    if coding:
        if coding != "chunked":
            raise BodyRefused(400, f"Transfer-Encoding: expected chunked, found {coding[:40]}")
        return None
    length = headers.get("Content-Length", "0").strip()
    if not (length.isascii() and length.isdecimal()):
        raise BodyRefused(400, f"Content-Length: expected a number of bytes, found {length[:40]}")
    # More than twenty digits are no length, and cost time to parse.
    if len(length) > 20 or int(length) > limit:
        raise BodyRefused(413, f"The body has {length[:20]} bytes, at most {limit} are taken")
    return int(length)


def read_body(headers: Message, stream: BufferedIOBase, limit: int) -> bytes:
    """The body of the request with ``headers``, unpacked; empty where it says gzip and is not.

    Raises:
        BodyRefused: 413 where it has more than ``limit`` bytes, packed or unpacked; 400 where it cannot be read. What
            is left of it is then still unread.
    """
    length = check_length(headers, limit)
    body = _chunks(stream, limit) if length is None else stream.read(length)
    if headers.get("Content-Encoding") != "gzip":
        return body
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        unpacked = unpacker.decompress(body, limit)
    except zlib.error:
        return b""
    if unpacker.unconsumed_tail:
        raise BodyRefused(413, f"The unpacked body has more than {limit} bytes, which are taken at most")
    return unpacked


def linger(connection: socket.socket) -> None:
    """Ends a connection whose client may still be sending: takes in what comes and drops it, within bounds.

    A connection closed with bytes unread is reset, and the client never sees the answer that lies there for it.
    """
    end, n_left = time.monotonic() + LINGER_S, LINGER_BYTES
    try:
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(IDLE_S)
        while n_left > 0 and time.monotonic() < end and (dropped := connection.recv(1 << 16)):
            n_left -= len(dropped)
    except OSError:
        # The client is gone, or waits for something else: there is nobody to tell.
        return


def _chunks(stream: BufferedIOBase, limit: int) -> bytes:
    """A body in chunks (RFC 9112, 7.1), its trailers dropped."""
    parts: list[bytes] = []
    n_bytes = 0
    while size := _chunk_size(stream):
        n_bytes += size
        if n_bytes > limit:
            raise BodyRefused(413, f"The body has more than {limit} bytes, which are taken at most")
        parts.append(stream.read(size))
        if len(parts[-1]) != size or stream.readline(LONGEST_LINE).strip(b"\r\n"):
            raise BodyRefused(400, f"The body in chunks ends early or is damaged, after {n_bytes} bytes")
    for _ in range(MOST_TRAILERS):
        if not stream.readline(LONGEST_LINE).strip(b"\r\n"):
            return b"".join(parts)
    raise BodyRefused(400, "The body in chunks has too many trailers")


def _chunk_size(stream: BufferedIOBase) -> int:
    digits = stream.readline(LONGEST_LINE).partition(b";")[0].strip()
    if not 0 < len(digits) <= 16 or digits.lower().strip(b"0123456789abcdef"):
        raise BodyRefused(400, f"The body in chunks: expected the size of a chunk in hex, found {digits[:16]!r}")
    return int(digits, 16)

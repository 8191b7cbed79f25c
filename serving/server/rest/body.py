"""The body of an HTTP request: of a given length or in chunks, packed or not, and bounded alone and with all others."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

#: Parts of a gzip body that are packed each alone; what comes after one is copied for the next.
MOST_MEMBERS = 64
_GZIP = b"\x1f\x8b"

Receive = Callable[[], Awaitable[Mapping[str, Any]]]


class BodyRefused(Exception):
    """Why a body is not taken; ``status`` is that of the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ClientGone(Exception):
    """The client broke off before its request was whole; there is nobody to answer."""


class Bodies:
    """The bodies that are held in memory now. Used from the event loop only.

    Where they would be more than ``most_bytes`` together, the one that has been coming for longest is given up: so
    many that never end cannot keep a new one out.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes, self._n_bytes = most_bytes, 0
        self._held: dict[Body, None] = {}

    @contextmanager
    def incoming(self) -> Iterator[Body]:
        """A new body, counted until the block ends."""
        body = Body(self)
        self._held[body] = None
        try:
            yield body
        finally:
            self._held.pop(body, None)
            self.let_go(body)

    def add(self, body: Body, part: bytes) -> None:
        """Adds ``part``.

        Raises:
            BodyRefused: 503, there is no room, and no other body to give up for it.
        """
        body.held += part
        self._n_bytes += len(part)
        while self._n_bytes > self._most_bytes:
            oldest = next((held for held in self._held if not held.is_whole), body)
            self.let_go(oldest)
            self._held.pop(oldest, None)
            if oldest is body:
                raise BodyRefused(503, f"All bodies together have more than {self._most_bytes} bytes; try again")
            oldest.give_up()

    def let_go(self, body: Body) -> None:
        """Frees what ``body`` holds."""
        self._n_bytes -= len(body.held)
        body.held = bytearray()


class Body:
    """One body on its way in."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self.held = bytearray()
        self.is_whole = False
        self._limit: asyncio.Timeout | None = None

    def give_up(self) -> None:
        """Ends ``receive`` with a refusal."""
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time())

    async def receive(self, receive: Receive, headers: Mapping[bytes, bytes], most_bytes: int) -> bytearray:
        """The body, still packed if it is.

        Raises:
            BodyRefused: 413 where it has more than ``most_bytes``, 503 where another one needed its place.
            ClientGone: The connection ended before.
        """
        check_length(headers, most_bytes)
        try:
            async with asyncio.timeout(None) as self._limit:
                while not self.is_whole:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGone
                    self._bodies.add(self, message.get("body", b""))
                    if len(self.held) > most_bytes:
                        raise BodyRefused(413, f"The body has more than {most_bytes} bytes, which are taken at most")
                    self.is_whole = not message.get("more_body", False)
        except TimeoutError as error:
            raise BodyRefused(503, "The body was not whole when its memory was needed for others; try again") from error
        return self.held


def check_length(headers: Mapping[bytes, bytes], most_bytes: int) -> None:
    """``BodyRefused`` where the headers tell of more than ``most_bytes`` (413), which is then not even asked for, or of
    a coding on the way that is not taken off here (400)."""
    coding = headers.get(b"transfer-encoding", b"chunked").strip().lower()
    if coding != b"chunked":
        told = coding[:100].decode("latin-1")
        raise BodyRefused(
            400, f"Transfer-Encoding: expected chunked, found {told!r}; packed bodies have Content-Encoding"
        )
    length = headers.get(b"content-length", b"0")
    # More than twenty digits are no length, and cost time to parse.
    if len(length) > 20 or int(length) > most_bytes:
        raise BodyRefused(413, f"The body has {length[:20].decode()} bytes, at most {most_bytes} are taken")


def unpacked(body: bytes | bytearray, most_bytes: int) -> bytes:
    """A gzip ``body`` unpacked, all of its members one after the other; empty where it is none.

    Raises:
        BodyRefused: 413 where that is more than ``most_bytes``; 400 where it is cut, or has very many members.
    """
    made, packed = bytearray(), bytes(body)
    for _ in range(MOST_MEMBERS):
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            made += unpacker.decompress(packed, most_bytes - len(made) + 1)
        except zlib.error:
            return b""
        if len(made) > most_bytes:
            raise BodyRefused(413, f"The unpacked body has more than {most_bytes} bytes, which are taken at most")
        if packed and not unpacker.eof:
            raise BodyRefused(400, "The packed body ends before its end")
        packed = unpacker.unused_data
        if not packed.startswith(_GZIP):
            return bytes(made)
    raise BodyRefused(400, f"The packed body has more than {MOST_MEMBERS} members, which are taken at most")

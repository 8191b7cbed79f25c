"""One HTTP connection: uvicorn's, with the limits that it has not: of time, of headers, and of their number."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD_BYTES = 64 << 10
#: How much later than the answer that a request takes too long its connection is cut.
CUT_AFTER_S = 5.0
_TOO_LATE = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_TOO_MANY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Connection(HttpToolsProtocol):
    """A connection without a thread.

    ``limit_s``: how long the head of a request may take from its first byte (or from the connection's begin), and how
    long an idle connection is kept. ``most``: connections at a time; beyond it the oldest that is idle or still sending
    makes room.
    """

    def __init__(self, *given: Any, limit_s: float, most: int, **named: Any) -> None:
        super().__init__(*given, **named)
        self._limit_s, self._most = limit_s, most
        self._cut: asyncio.TimerHandle | None = None
        self._is_in_message = self._asks_for_upgrade = False
        self._n_head_bytes = 0
        self._received = self._unread = b""
        self.since = self.loop.time()

    @property
    def waits_for_client(self) -> bool:
        """Whether it is the client's turn: no request, or one that is not whole."""
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes its place among the others, or that of the oldest that keeps us waiting."""
        super().connection_made(transport)
        self._arm(self._limit_s)
        if len(self.connections) > self._most:
            others: list[Any] = [connection for connection in self.connections if connection is not self]
            oldest = min(
                (connection for connection in others if connection.waits_for_client),
                key=lambda connection: connection.since,
                default=self,
            )
            oldest.refuse(_TOO_MANY)

    def data_received(self, data: bytes) -> None:
        """Parses what came, and refuses a head without end; so too what stands around a body's chunks."""
        self._n_head_bytes += len(data)
        while data:
            self._received, self._unread = data, b""
            super().data_received(data)
            data, self._received = self._unread, b""
        if self._n_head_bytes > MOST_HEAD_BYTES and not self.transport.is_closing():
            self.refuse(_TOO_LONG)

    def on_message_begin(self) -> None:
        """The first byte of a request: its time begins."""
        super().on_message_begin()
        self.since = self.loop.time()
        self.scope["state"]["begun"] = self.since
        self._arm(self._limit_s)

    def on_headers_complete(self) -> None:
        """From here on the application watches the time; this one only cuts what it cannot end."""
        self._asks_for_upgrade = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        if self._asks_for_upgrade:
            return
        self._is_in_message, self._n_head_bytes = True, 0
        self._arm(self._limit_s + CUT_AFTER_S)
        super().on_headers_complete()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Those after a body in chunks say nothing here, and would be kept without end."""
        if not self._is_in_message:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """A part of the body, which the application bounds."""
        self._n_head_bytes = 0
        super().on_body(body)

    def _unsupported_upgrade_warning(self) -> None:
        """Answers as if no other protocol had been offered, which some clients do with each first request (h2c).

        The parser leaves out the body of such a request; uvicorn calls this while it handles that.
        """
        fault = sys.exception()
        if fault is None or not self._asks_for_upgrade:
            return
        rest = self._received[fault.args[0] :]
        head = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        fields = b"".join(b"%b: %b\r\n" % field for field in self.headers if field[0] != b"upgrade")
        self.parser = httptools.HttpRequestParser(self)
        # As uvicorn sets its own.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._unread = b"%b%b\r\n%b" % (head, fields, rest)

    def on_message_complete(self) -> None:
        """The body is whole, or the rest of a refused one has been dropped."""
        if self._asks_for_upgrade:
            return
        self._is_in_message = False
        super().on_message_complete()
        if self.cycle.response_complete:
            self._arm(self._limit_s)

    def on_response_complete(self) -> None:
        """An idle connection is uvicorn's to time; a client that sends on, or does not read, is ours to cut."""
        super().on_response_complete()
        self.since = self.loop.time()
        if not (self._is_in_message or self.pipeline or self.transport.is_closing()):
            self._disarm()

    def timeout_keep_alive_handler(self) -> None:
        """Ends an idle connection, also where the client never read its answer."""
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Lets go of the timer."""
        self._disarm()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuses what is no HTTP, as all other refusals are worded; uvicorn calls it while it handles the fault."""
        fault = sys.exception()
        error = f"The request cannot be read as HTTP/1.1: {fault or msg}"
        content = json.dumps({"error": error}).encode()
        self.refuse(
            b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
            b"Connection: close\r\n\r\n%b" % (len(content), content)
        )

    def refuse(self, answer: bytes) -> None:
        """Sends ``answer`` if the client takes it at once, and ends the connection."""
        self._disarm()
        self.transport.write(answer)
        self.transport.close()
        self.loop.call_later(CUT_AFTER_S, self.transport.abort)

    def _arm(self, after_s: float) -> None:
        self._disarm()
        self._cut = self.loop.call_later(after_s, self._end)

    def _disarm(self) -> None:
        if self._cut is not None:
            self._cut.cancel()
            self._cut = None

    def _end(self) -> None:
        if self._is_in_message or not self.waits_for_client:
            self.transport.abort()
        else:
            self.refuse(_TOO_LATE)

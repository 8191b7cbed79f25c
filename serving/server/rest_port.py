"""The REST API's port: an HTTP/1.1 server with a thread per connection."""

from __future__ import annotations

import gzip
import logging
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from serving.server.flags import ServerOptions
from serving.server.rest import JSON_TYPE, HttpAnswer, RestApi

log = logging.getLogger(__name__)

METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH")
OPTIONS_TYPE = "text/html; charset=ISO-8859-1"
MIN_GZIP_BYTES = 1024
CORS_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET,POST",
    "Access-Control-Allow-Headers": "Content-Type",
}


class _TooLarge(Exception):
    """A body over the limit."""


class RestServer(ThreadingHTTPServer):
    """Listens on ``options.host:options.rest_api_port``.

    Raises:
        OSError: The port is taken.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, api: RestApi, options: ServerOptions) -> None:
        self.api, self.options = api, options
        self.turn = threading.Semaphore(options.rest_api_num_threads or max(1, options.grpc_max_threads))
        super().__init__((options.host, options.rest_api_port), _Handler)

    def start(self) -> None:
        """Begins to answer."""
        threading.Thread(target=self.serve_forever, name="rest", daemon=True).start()

    def stop(self) -> None:
        """Takes no more connections."""
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke off is a line, not a traceback on stderr."""
        log.info("A REST connection broke off", exc_info=log.isEnabledFor(logging.DEBUG))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: RestServer

    def setup(self) -> None:
        self.request.settimeout(self.server.options.rest_api_timeout_in_ms / 1000)
        super().setup()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_") and name[3:] in METHODS:
            return self._handle
        raise AttributeError(name)

    def _handle(self) -> None:
        try:
            body = self._body()
        except _TooLarge as error:
            self.close_connection = True
            self._send(HttpAnswer(413, JSON_TYPE, f'{{"error": "{error}"}}'.encode()))
            return
        if self.command == "OPTIONS":
            self._send(HttpAnswer(200 if self.server.options.rest_api_enable_cors_support else 400, OPTIONS_TYPE, b""))
            return
        with self.server.turn:
            try:
                answer = self.server.api.answer(self.command, self.path, body)
            except Exception:
                log.exception("A REST call broke")
                answer = HttpAnswer(500, JSON_TYPE, b'{"error": "The server broke on this call"}')
        self._send(answer)

    def _body(self) -> bytes:
        """The request's body, unpacked; empty where it says gzip and is not."""
        limit = self.server.options.grpc_max_message_bytes
        length = self.headers.get("Content-Length", "0")
        if self.headers.get("Transfer-Encoding") or not length.isdecimal():
            raise _TooLarge("The length of the body must be given in Content-Length")
        if int(length) > limit:
            raise _TooLarge(f"The body has {length} bytes, at most {limit} are taken")
        body = self.rfile.read(int(length))
        if self.headers.get("Content-Encoding") != "gzip":
            return body
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            unpacked = unpacker.decompress(body, limit)
        except zlib.error:
            return b""
        if unpacker.unconsumed_tail:
            raise _TooLarge(f"The unpacked body has more than {limit} bytes")
        return unpacked

    def _send(self, answer: HttpAnswer) -> None:
        body = answer.body
        packs = len(body) >= MIN_GZIP_BYTES and "gzip" in self.headers.get("Accept-Encoding", "")
        if packs:
            body = gzip.compress(body, 1)
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(body)))
        if packs:
            self.send_header("Content-Encoding", "gzip")
        if self.server.options.rest_api_enable_cors_support:
            for name, value in CORS_HEADERS.items():
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """No line a request: paths are the clients' and stay out of the log."""

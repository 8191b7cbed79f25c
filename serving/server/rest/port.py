"""The REST API's port: an HTTP/1.1 server with a thread per connection."""

from __future__ import annotations

import gzip
import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from serving.server.flags import ServerOptions
from serving.server.prediction_log import REQUEST_ID_HEADER, begin_request
from serving.server.rest.body import BodyRefused, check_length, linger, read_body
from serving.server.rest.calls import JSON_TYPE, HttpAnswer, RestApi

log = logging.getLogger(__name__)

METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH")
OPTIONS_TYPE = "text/html; charset=ISO-8859-1"
MIN_GZIP_BYTES = 1024
CORS_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET,POST",
    "Access-Control-Allow-Headers": "Content-Type",
}


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
    _request_id = ""
    """Of the call at hand; '' where none is given."""

    def setup(self) -> None:
        self.request.settimeout(self.server.options.rest_api_timeout_in_ms / 1000)
        super().setup()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_") and name[3:] in METHODS:
            return self._handle
        raise AttributeError(name)

    def _handle(self) -> None:
        try:
            body = read_body(self.headers, self.rfile, self._limit)
        except BodyRefused as error:
            self._refuse(error)
            return
        if self.command == "OPTIONS":
            self._send(HttpAnswer(200 if self.server.options.rest_api_enable_cors_support else 400, OPTIONS_TYPE, b""))
            return
        with self.server.turn:
            if self.server.api.names_requests:
                self._request_id = begin_request(self.headers.get(REQUEST_ID_HEADER, ""))
            try:
                answer = self.server.api.answer(self.command, self.path, body)
            except Exception:
                log.exception("A REST call broke")
                answer = HttpAnswer(500, JSON_TYPE, b'{"error": "The server broke on this call"}')
        self._send(answer)

    @property
    def _limit(self) -> int:
        return self.server.options.grpc_max_message_bytes

    def handle_expect_100(self) -> bool:
        """Before a client sends a large body it may ask; one that is too large is refused then, and not sent at all."""
        try:
            check_length(self.headers, self._limit)
        except BodyRefused as error:
            self._refuse(error)
            return False
        return super().handle_expect_100()

    def _refuse(self, error: BodyRefused) -> None:
        """The answer to a body that is not taken; the connection ends with it, as the rest is in the way."""
        self.close_connection = True
        text = json.dumps({"error": str(error)}, ensure_ascii=False)
        self._send(HttpAnswer(error.status, JSON_TYPE, text.encode()))
        linger(self.connection)

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
        if self._request_id:
            self.send_header(REQUEST_ID_HEADER, self._request_id)
            self._request_id = ""
        if self.close_connection:
            self.send_header("Connection", "close")
        if self.server.options.rest_api_enable_cors_support:
            for name, value in CORS_HEADERS.items():
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """No line a request: paths are the clients' and stay out of the log."""

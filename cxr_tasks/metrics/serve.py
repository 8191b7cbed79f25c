"""A page of metrics for Prometheus, over HTTP: numbers and names of models and DAGs, nothing of patients."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

#: So long one page is given again: the audit log is gone through for each.
KEPT_S = 15.0


class Page:
    """The page, made anew when it is older than ``KEPT_S``."""

    def __init__(self, make: Callable[[], str], kept_s: float = KEPT_S) -> None:
        self._make, self._kept_s = make, kept_s
        self._lock, self._text, self._made_at = threading.Lock(), "", -kept_s

    def text(self) -> str:
        with self._lock:
            if time.monotonic() - self._made_at >= self._kept_s:
                self._text, self._made_at = self._make(), time.monotonic()
            return self._text


def metrics_server(host: str, port: int, page: Page) -> ThreadingHTTPServer:
    """A server of ``/metrics``, not yet running; ``OSError`` where the address is taken."""

    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version = "cxr", ""

        def do_GET(self) -> None:
            if self.path != "/metrics":
                self.send_error(404, "expected /metrics")
                return
            content = page.text().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            """A line every 15 seconds that says nothing."""

    return ThreadingHTTPServer((host, port), Handler)

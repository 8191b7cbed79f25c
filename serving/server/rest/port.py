"""The REST API's port: an ASGI application on uvicorn, in the event loop that the gRPC port shares."""

from __future__ import annotations

import asyncio
import gzip
import ipaddress
import json
import logging
import math
import socket
import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import uvicorn

from cxr_tasks.predictions.columns import request_id_of
from serving.server.flags import ServerOptions
from serving.server.gate import Gate
from serving.server.open_files import connections_within_limit
from serving.server.prediction_log import REQUEST_ID_HEADER, begin_request
from serving.server.rest.body import Bodies, BodyRefused, ClientGone, Receive, unpacked
from serving.server.rest.calls import JSON_TYPE, HttpAnswer, RestApi
from serving.server.rest.connection import Connection
from serving.server.run.runner import Patience
from serving.server.seldom import Seldom
from serving.server.status import StatusError

log = logging.getLogger(__name__)

OPTIONS_TYPE = "text/html; charset=ISO-8859-1"
MIN_GZIP_BYTES = 1024
#: The names of gzip as a content coding.
PACKED = (b"gzip", b"x-gzip")
#: All bodies together, as a multiple of the largest one.
BODIES_AT_A_TIME = 4
CORS_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET,POST",
    "Access-Control-Allow-Headers": "Content-Type",
}


class RestServer:
    """Listens on ``options.host:options.rest_api_port``.

    Raises:
        OSError: The port is taken.
    """

    def __init__(self, api: RestApi, options: ServerOptions, gate: Gate) -> None:
        self._socket = _bound(options.host, options.rest_api_port)
        limit_s = options.rest_api_timeout_in_ms / 1000
        config = uvicorn.Config(
            _Application(api, options, gate),
            http=partial(Connection, limit_s=limit_s, most=connections_within_limit(options.max_connections)),  # type: ignore[arg-type]
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=max(1, math.ceil(limit_s)),
            timeout_graceful_shutdown=max(1, math.ceil(options.shutdown_grace_seconds)),
            backlog=1024,
        )
        # Its lines of lower levels are a client's to cause, without end.
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        self._server = uvicorn.Server(config)
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begins to answer."""
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not (self._server.started or self._serving.done()):
            await asyncio.sleep(0.001)

    async def stop(self) -> None:
        """Takes no more connections, and waits for the answers under way."""
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving


class _Application:
    def __init__(self, api: RestApi, options: ServerOptions, gate: Gate) -> None:
        self._api, self._options, self._gate = api, options, gate
        self._limit_s = options.rest_api_timeout_in_ms / 1000
        self._bodies = Bodies(BODIES_AT_A_TIME * options.grpc_max_message_bytes)
        self._hosts = {"localhost", options.host, *options.rest_allowed_hosts.lower().split(",")} - {""}
        n_waiting = options.rest_api_num_threads or max(1, options.grpc_max_threads)
        self._turns = asyncio.Semaphore(n_waiting)
        self._broken = Seldom(log)

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Any) -> None:
        headers = _joined(scope["headers"])
        request_id = ""
        if self._api.names_requests:
            request_id = request_id_of(headers.get(REQUEST_ID_HEADER.encode(), b"").decode("latin-1"))
        with self._bodies.incoming() as body:
            patience = Patience(time.monotonic() + self._limit_s)
            try:
                async with asyncio.timeout_at(scope["state"]["begun"] + self._limit_s):
                    self._check_host(headers)
                    held = await body.receive(receive, headers, self._options.grpc_max_message_bytes)
                    answer = await self._answer(scope, held, headers, receive, patience, request_id)
            except ClientGone:
                return
            except BodyRefused as error:
                answer = _error(error.status, str(error))
            except TimeoutError:
                answer = _error(504 if body.is_whole else 408, f"The request took longer than {self._limit_s:g} s")
            except StatusError as error:
                answer = _error(504, error.message)
            await self._send(send, answer, b"gzip" in headers.get(b"accept-encoding", b""), request_id)

    async def _answer(
        self,
        scope: Mapping[str, Any],
        body: bytearray,
        headers: Mapping[bytes, bytes],
        receive: Receive,
        patience: Patience,
        request_id: str,
    ) -> HttpAnswer:
        method = scope["method"]
        if method == "OPTIONS":
            return HttpAnswer(200 if self._options.rest_api_enable_cors_support else 400, OPTIONS_TYPE, b"")
        query = scope["query_string"]
        path = (scope["raw_path"] + (b"?" + query if query else b"")).decode("latin-1")
        is_packed = headers.get(b"content-encoding", b"").strip().lower() in PACKED

        def work() -> HttpAnswer:
            if request_id:
                begin_request(request_id)
            try:
                whole = unpacked(body, self._options.grpc_max_message_bytes) if is_packed else body
                return self._api.answer(method, path, whole, patience)
            except BodyRefused:
                raise
            except Exception:
                self._broken.warning("A REST call broke", with_traceback=True)
                return HttpAnswer(500, JSON_TYPE, b'{"error": "The server broke on this call"}')

        if method == "GET":
            # Runs no model, and is answered also while models run wherever they can.
            return await asyncio.to_thread(work)
        async with self._turns:
            running = asyncio.ensure_future(self._gate.run(work, patience, len(body)))
            gone = asyncio.ensure_future(_client_gone(receive))
            try:
                await asyncio.wait({running, gone}, return_when=asyncio.FIRST_COMPLETED)
                if not running.done():
                    raise ClientGone
                return running.result()
            finally:
                running.cancel()
                gone.cancel()
                # A future whose fault passes through here would hold this frame, and with it the body.
                del running

    def _check_host(self, headers: Mapping[bytes, bytes]) -> None:
        """A page of another site cannot read answers under that site's name, wherever it makes the name point."""
        host = headers.get(b"host", b"").decode("latin-1").lower()
        name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        if name and name not in self._hosts and not _is_address(name):
            raise BodyRefused(
                403,
                f"Host {name[:100]!r} is not a name of this server; --rest_allowed_hosts lists further names",
            )

    async def _send(self, send: Any, answer: HttpAnswer, packs: bool, request_id: str) -> None:
        body = answer.body
        named = {"Content-Type": answer.content_type}
        if packs and len(body) >= MIN_GZIP_BYTES:
            body = await asyncio.to_thread(gzip.compress, body, 1)
            named["Content-Encoding"] = "gzip"
        named["Content-Length"] = str(len(body))
        named |= {REQUEST_ID_HEADER: request_id} if request_id else {}
        named |= CORS_HEADERS if self._options.rest_api_enable_cors_support else {}
        headers = [(name.encode(), value.encode()) for name, value in named.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _joined(fields: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The headers by name; one that comes twice is the list of both, so that neither is acted on alone."""
    headers: dict[bytes, bytes] = {}
    for name, value in fields:
        headers[name] = b"%b, %b" % (headers[name], value) if name in headers else value
    return headers


async def _client_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _error(status: int, text: str) -> HttpAnswer:
    return HttpAnswer(status, JSON_TYPE, json.dumps({"error": text}, ensure_ascii=False).encode())


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named, as asyncio takes Nagle's algorithm off only then: each answer would take 40 ms more.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.setblocking(False)
    except OSError:
        made.close()
        raise
    return made

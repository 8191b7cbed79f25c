"""The gRPC services: PredictionService, ModelService and health."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import grpc
from google.protobuf import wrappers_pb2
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from cxr_tasks.installation.storage.private import close_to_others
from cxr_tasks.predictions.columns import request_id_of
from serving.server.answers import Answers
from serving.server.credentials import server_credentials
from serving.server.flags import ServerOptions
from serving.server.gate import Gate
from serving.server.open_files import connections_within_limit
from serving.server.prediction_log import REQUEST_ID_HEADER, begin_request
from serving.server.receiving import Receiving
from serving.server.run.runner import Patience
from serving.server.seldom import Seldom
from serving.server.status import StatusError, shortened
from serving.server.wire import MOST_FIELDS, has_too_many_fields

log = logging.getLogger(__name__)

PREDICTION = "tensorflow.serving.PredictionService"
MODELS = "tensorflow.serving.ModelService"
HEALTH = "grpc.health.v1.Health"
HEALTHY_SERVICES = frozenset({"", "PredictionService", "ModelService"})
SERVING = 1
RELOADS_AT_A_TIME = 16

Context: TypeAlias = grpc.aio.ServicerContext
Handler: TypeAlias = Callable[[bytes, Context], Awaitable[bytes]]


class GrpcService:
    """The calls as handlers of bytes, so that reading and parsing them are ours to bound."""

    def __init__(self, answers: Answers, options: ServerOptions, gate: Gate) -> None:
        self._answers, self._options, self._gate = answers, options, gate
        self._receiving = Receiving()
        # Of their own: a new list may wait for its models without end.
        self._reloading = ThreadPoolExecutor(RELOADS_AT_A_TIME, thread_name_prefix="reload")
        self._malformed, self._broken = Seldom(log), Seldom(log)

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """The handlers of all services that the options ask for."""
        answers = self._answers
        prediction = {
            "Predict": self._in_turn(_Call("Predict", predict_pb2.PredictRequest, answers.predict)),
            "Classify": self._in_turn(_Call("Classify", classification_pb2.ClassificationRequest, answers.classify)),
            "Regress": self._in_turn(_Call("Regress", regression_pb2.RegressionRequest, answers.regress)),
            "MultiInference": self._in_turn(
                _Call("MultiInference", inference_pb2.MultiInferenceRequest, answers.multi_inference)
            ),
            "GetModelMetadata": self._at_once(get_model_metadata_pb2.GetModelMetadataRequest, answers.metadata),
        }
        models = {
            "GetModelStatus": self._at_once(get_model_status_pb2.GetModelStatusRequest, answers.status),
            "HandleReloadConfigRequest": self._reload,
        }
        services = {PREDICTION: prediction, MODELS: models}
        if self._options.enable_grpc_healthcheck_service:
            services[HEALTH] = {"Check": self._at_once(wrappers_pb2.StringValue, _health)}
        return [
            grpc.method_handlers_generic_handler(
                service,
                # A stream of one request is the same on the wire, and its reading is left to the handler.
                {
                    name: grpc.stream_unary_rpc_method_handler(self._received(method))
                    for name, method in methods.items()
                },
            )
            for service, methods in services.items()
        ]

    def _received(self, handler: Handler) -> Callable[[Any, Context], Awaitable[bytes]]:
        """``handler`` on the one message of a call; ``StatusError`` becomes the call's status, all else INTERNAL."""

        async def answer(_messages: Any, context: Context) -> bytes:
            try:
                return await handler(await self._receiving.message(context), context)
            # What was raised is let go of here: it holds the frames it came through, and so the whole request.
            except StatusError as error:
                code, text = error.code, shortened(error.message)
            except Exception as error:
                self._broken.warning("A call broke", with_traceback=True)
                code, text = grpc.StatusCode.INTERNAL, f"The server broke on this call: {type(error).__name__}"
            await context.abort(code, text)
            raise AssertionError("abort raises")

        return answer

    def _in_turn(self, call: _Call) -> Handler:
        metrics = self._answers.metrics

        async def handler(raw: bytes, context: Context) -> bytes:
            begin = time.perf_counter()
            patience = Patience(_until(context, self._options.max_run_seconds))
            request_id = self._named(context) if call.name == "Predict" else ""

            def work() -> tuple[str, bytes]:
                if request_id:
                    begin_request(request_id)
                request = self._parsed(call.kind, raw)
                answer = call.answer(request, patience)
                spec = request.tasks[0].model_spec if call.name == "MultiInference" else request.model_spec
                return spec.name, answer.SerializeToString()

            model_name, answer = await self._gate.run_or_refuse(work, patience, len(raw))
            metrics.latency.observe((model_name, call.name, "GRPC"), (time.perf_counter() - begin) * 1e6)
            return answer

        return handler

    def _named(self, context: Context) -> str:
        """The client's id of a call where that is a UUID, else a new one; it goes back with the answer."""
        if self._answers.prediction_log is None:
            return ""
        given = (value for key, value in context.invocation_metadata() or () if key == REQUEST_ID_HEADER)
        request_id = request_id_of(str(next(given, "")))
        context.set_trailing_metadata(((REQUEST_ID_HEADER, request_id),))
        return request_id

    def _at_once(self, kind: Any, answer: Callable[[Any], Any]) -> Handler:
        """A call that runs no model and takes no turn: it is answered also while all turns are taken."""

        async def handler(raw: bytes, _context: Context) -> bytes:
            return bytes(answer(self._parsed(kind, raw)).SerializeToString())

        return handler

    async def _reload(self, raw: bytes, context: Context) -> bytes:
        if not (self._options.enable_reload_over_tcp or context.peer().startswith("unix:")):
            raise StatusError(
                "PERMISSION_DENIED",
                "A new list of models is taken over the Unix socket of --grpc_socket_path, or from the file of "
                "--model_config_file; --enable_reload_over_tcp=true takes it from everyone who reaches this port",
            )
        request = self._parsed(model_management_pb2.ReloadConfigRequest, raw)
        patience = Patience()
        try:
            loop = asyncio.get_running_loop()
            reload = partial(self._answers.reload, request, lambda: not patience.is_over)
            answer = await loop.run_in_executor(self._reloading, reload)
        except asyncio.CancelledError:
            patience.give_up()
            raise
        return bytes(answer.SerializeToString())

    def _parsed(self, kind: Any, raw: bytes) -> Any:
        if has_too_many_fields(kind.DESCRIPTOR, raw):
            text = f"Expected at most {MOST_FIELDS} fields in a {kind.DESCRIPTOR.full_name}, found more"
            raise StatusError("INVALID_ARGUMENT", text)
        try:
            return kind.FromString(raw)
        except DecodeError as error:
            name = kind.DESCRIPTOR.full_name
            self._malformed.warning("A request of %d bytes is not a %s", len(raw), name)
            raise StatusError(
                "INTERNAL", f"Expected a serialized {name}, found {len(raw)} bytes that are none"
            ) from error


@dataclass(frozen=True, slots=True)
class _Call:
    """A call that runs a model: its name, the class of its request, and what answers it."""

    name: str
    kind: Any
    answer: Callable[[Any, Patience], Any]


def _until(context: Context, most_s: float) -> float:
    """When the client of ``context`` stops waiting, or we do: ``most_s`` from now, 0 for never."""
    left = context.time_remaining()
    most = most_s if most_s > 0 else math.inf
    return time.monotonic() + (most if left is None else min(left, most))


def _health(request: wrappers_pb2.StringValue) -> wrappers_pb2.Int32Value:
    """``grpc.health.v1.Health/Check``; its two messages have the wire form of a wrapped string and a wrapped int."""
    if request.value not in HEALTHY_SERVICES:
        raise StatusError("NOT_FOUND", "service name unknown")
    return wrappers_pb2.Int32Value(value=SERVING)


async def start_grpc(answers: Answers, options: ServerOptions, gate: Gate) -> grpc.aio.Server:
    """A gRPC server on ``options.host:options.port`` and ``options.grpc_socket_path``, answering.

    Raises:
        StatusError: ``INVALID_ARGUMENT`` where neither is set, or one is taken; the TLS files are refused.
    """
    if not options.port and not options.grpc_socket_path:
        text = "At least one of server_options.grpc_port or server_options.grpc_socket_path must be set."
        raise StatusError("INVALID_ARGUMENT", text)
    credentials = server_credentials(options.ssl_config_file)
    server = grpc.aio.server(options=_channel_options(options))
    server.add_generic_rpc_handlers(tuple(GrpcService(answers, options, gate).handlers()))
    for address in _addresses(options):
        try:
            bound = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
        except RuntimeError:
            bound = 0
        if not bound:
            log.error("UNKNOWN:No address added out of total 1 resolved for '%s' (is the port in use?)", address)
            raise StatusError("INVALID_ARGUMENT", "Failed to BuildAndStart gRPC server")
    await server.start()
    if options.grpc_socket_path:
        close_to_others(Path(options.grpc_socket_path))
    return server


def _addresses(options: ServerOptions) -> list[str]:
    by_port = [f"{options.host}:{options.port}"] if options.port else []
    return by_port + ([f"unix:{options.grpc_socket_path}"] if options.grpc_socket_path else [])


def _channel_options(options: ServerOptions) -> list[tuple[str, int | str]]:
    """Options of the gRPC server; two servers never share a port, and the operator's arguments have the last word."""
    known: dict[str, int | str] = {
        "grpc.so_reuseport": 0,
        "grpc.max_receive_message_length": options.grpc_max_message_bytes,
        "grpc.max_send_message_length": -1,
        "grpc.max_allowed_incoming_connections": connections_within_limit(options.max_connections),
        "grpc.server_handshake_timeout_ms": 30_000,
        "grpc.max_concurrent_streams": 256,
    }
    for pair in filter(None, options.grpc_channel_arguments.split(",")):
        key, equals, value = pair.partition("=")
        if not equals:
            raise StatusError("INVALID_ARGUMENT", f"--grpc_channel_arguments: expected key=value, got {pair!r}")
        known[key.strip()] = int(value) if value.strip().lstrip("-").isdigit() else value
    return list(known.items())

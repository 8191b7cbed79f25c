"""The gRPC services: PredictionService, ModelService and health."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf import wrappers_pb2
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from serving.server.answers import Answers
from serving.server.flags import ServerOptions
from serving.server.metrics import Metrics
from serving.server.prediction_log import REQUEST_ID_HEADER, begin_request
from serving.server.status import StatusError, shortened

log = logging.getLogger(__name__)

# Workers that answer refusals while all others are busy.
SPARE_WORKERS = 4
HEALTHY_SERVICES = frozenset({"", "PredictionService", "ModelService"})
SERVING = 1

Turns = threading.Semaphore
Handler = Callable[[Any, grpc.ServicerContext], Any]


class _PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, answers: Answers, turns: Turns) -> None:
        predict = _answered(_timed("Predict", answers.predict, answers.metrics), turns)
        self.Predict = predict if answers.prediction_log is None else _named(predict)
        self.Classify = _answered(_timed("Classify", answers.classify, answers.metrics), turns)
        self.Regress = _answered(_timed("Regress", answers.regress, answers.metrics), turns)
        self.MultiInference = _answered(_timed("MultiInference", answers.multi_inference, answers.metrics), turns)
        self.GetModelMetadata = _answered(answers.metadata, turns)


class _ModelService(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, answers: Answers, turns: Turns) -> None:
        self._answers, self._turns = answers, turns
        self.GetModelStatus = _answered(answers.status, turns)

    def HandleReloadConfigRequest(self, request: Any, context: grpc.ServicerContext) -> Any:
        return _answered(lambda one: self._answers.reload(one, context.is_active), self._turns)(request, context)


def _named(handler: Handler) -> Handler:
    """``handler``, its call known by the client's id where that is a UUID; the id goes back with the answer."""

    def named(request: Any, context: grpc.ServicerContext) -> Any:
        given = (value for key, value in context.invocation_metadata() or () if key == REQUEST_ID_HEADER)
        context.set_trailing_metadata(((REQUEST_ID_HEADER, begin_request(str(next(given, "")))),))
        return handler(request, context)

    return named


def _timed(api: str, answer: Callable[[Any], Any], metrics: Metrics) -> Callable[[Any], Any]:
    """``answer``, its time counted where it went well."""

    def timed(request: Any) -> Any:
        begin = time.perf_counter()
        response = answer(request)
        spec = request.tasks[0].model_spec if api == "MultiInference" else request.model_spec
        metrics.latency.observe((spec.name, api, "GRPC"), (time.perf_counter() - begin) * 1e6)
        return response

    return timed


def _answered(answer: Callable[[Any], Any], turns: Turns) -> Handler:
    """``answer`` as a gRPC handler: ``StatusError`` becomes the call's status, all else INTERNAL and a log line.

    Where no turn is free the call is answered RESOURCE_EXHAUSTED instead of waiting unseen.
    """

    def handler(request: Any, context: grpc.ServicerContext) -> Any:
        if not turns.acquire(blocking=False):
            return context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "Server Threadpool Exhausted")
        try:
            return answer(request)
        except StatusError as error:
            refusal = error
        except Exception as error:
            log.exception("A call broke")
            refusal = StatusError("INTERNAL", f"The server broke on this call: {type(error).__name__}")
        finally:
            turns.release()
        return context.abort(refusal.code, shortened(refusal.message))

    return handler


def _health_handlers(turns: Turns) -> grpc.GenericRpcHandler:
    """``grpc.health.v1.Health/Check``; its two messages have the wire form of a wrapped string and a wrapped int."""

    def check(request: wrappers_pb2.StringValue) -> wrappers_pb2.Int32Value:
        if request.value not in HEALTHY_SERVICES:
            raise StatusError("NOT_FOUND", "service name unknown")
        return wrappers_pb2.Int32Value(value=SERVING)

    handler = grpc.unary_unary_rpc_method_handler(
        _answered(check, turns), wrappers_pb2.StringValue.FromString, wrappers_pb2.Int32Value.SerializeToString
    )
    return grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler})


def start_grpc(answers: Answers, options: ServerOptions) -> grpc.Server:
    """A gRPC server on ``options.host:options.port``, answering.

    Raises:
        StatusError: ``INVALID_ARGUMENT`` where the port is 0 or taken.
    """
    if not options.port:
        text = "At least one of server_options.grpc_port or server_options.grpc_socket_path must be set."
        raise StatusError("INVALID_ARGUMENT", text)
    n_at_a_time = max(1, options.grpc_max_threads - 1)
    server = grpc.server(
        ThreadPoolExecutor(n_at_a_time + SPARE_WORKERS, thread_name_prefix="grpc"),
        options=_channel_options(options),
    )
    turns = Turns(n_at_a_time)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_PredictionService(answers, turns), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_ModelService(answers, turns), server)
    if options.enable_grpc_healthcheck_service:
        server.add_generic_rpc_handlers((_health_handlers(turns),))
    address = f"{options.host}:{options.port}"
    try:
        bound = server.add_insecure_port(address)
    except RuntimeError:
        bound = 0
    if not bound:
        log.error("UNKNOWN:No address added out of total 1 resolved for '%s' (is the port in use?)", address)
        raise StatusError("INVALID_ARGUMENT", "Failed to BuildAndStart gRPC server")
    server.start()
    return server


def _channel_options(options: ServerOptions) -> list[tuple[str, int | str]]:
    """Options of the gRPC server; two servers never share a port, and the operator's arguments have the last word."""
    known: dict[str, int | str] = {
        "grpc.so_reuseport": 0,
        "grpc.max_receive_message_length": options.grpc_max_message_bytes,
        "grpc.max_send_message_length": -1,
    }
    for pair in filter(None, options.grpc_channel_arguments.split(",")):
        key, equals, value = pair.partition("=")
        if not equals:
            raise StatusError("INVALID_ARGUMENT", f"--grpc_channel_arguments: expected key=value, got {pair!r}")
        known[key.strip()] = int(value) if value.strip().lstrip("-").isdigit() else value
    return list(known.items())

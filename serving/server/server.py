"""A whole model server in this process: the core with its ports."""

from __future__ import annotations

import logging
from pathlib import Path

from serving.server.answers import Answers
from serving.server.config import read_metrics_path
from serving.server.core import ServerCore
from serving.server.flags import ServerOptions
from serving.server.front import Front
from serving.server.loading.loading import ServableLoader
from serving.server.metrics import Metrics
from serving.server.prediction_log import PredictionLog
from serving.server.request_log import RequestLog
from serving.server.rest.calls import RestApi
from serving.server.status import StatusError

log = logging.getLogger(__name__)


class ModelServer:
    """Loads the configured models and answers on the configured ports."""

    def __init__(self, options: ServerOptions) -> None:
        self.options = options
        self.metrics = Metrics()
        self._loader = ServableLoader(options, self.metrics)
        self.core = ServerCore(options, self._loader.load, self.metrics)
        self._front = Front(options)
        self._are_logs_open = False
        self._request_log: RequestLog | None = None
        if options.request_log_folder and options.request_log_share > 0:
            folder, most = Path(options.request_log_folder), options.request_log_max_mib << 20
            self._request_log = RequestLog(folder, options.request_log_share, most)
        self._prediction_log = PredictionLog(options) if options.prediction_log_folder else None

    def start(self) -> None:
        """Loads all models, then opens the ports.

        Raises:
            StatusError: The configuration is refused, a model failed to load, or the gRPC port is taken.
        """
        self._check()
        self._loader.start()
        self.core.start()
        if self._request_log is not None:
            self._request_log.start()
        if self._prediction_log is not None:
            self._prediction_log.start()
        self._are_logs_open = True
        answers = Answers(self.core, self._request_log, self._prediction_log)
        self._front.start_grpc(answers)
        log.info("Running gRPC ModelServer at %s:%d ...", self.options.host, self.options.port)
        if self.options.rest_api_port:
            self._start_rest(answers)

    def stop(self) -> None:
        """Takes no more calls, gives the running ones ``shutdown_grace_seconds``, and ends."""
        self.core.stop()
        self._front.stop(self.options.shutdown_grace_seconds)
        self._loader.stop()
        # A server that still waits for its models has none of them open.
        if self._request_log is not None and self._are_logs_open:
            self._request_log.stop()
        if self._prediction_log is not None and self._are_logs_open:
            self._prediction_log.stop()

    def _start_rest(self, answers: Answers) -> None:
        """The REST port; where it cannot be had the server goes on without, and says so."""
        options = self.options
        if options.rest_api_port == options.port:
            log.error(
                "server_options.http_port cannot be same as grpc_port. Please use a different port for HTTP/REST API. "
                "Skipped exporting HTTP/REST API."
            )
            return
        try:
            metrics_path = read_metrics_path(options.monitoring_config_file)
            self._front.start_rest(RestApi(answers, self.metrics, metrics_path))
        except StatusError as error:
            log.error("Skipped exporting HTTP/REST API: %s", error)  # noqa: TRY400 - one clean line
            return
        except OSError as error:
            at = f"{options.host}:{options.rest_api_port}"
            log.error("Failed to start HTTP Server at %s: %s", at, error.strerror)  # noqa: TRY400 - one clean line
            return
        log.info("Exporting HTTP/REST API at: %s:%d ...", options.host, options.rest_api_port)
        if options.ssl_config_file:
            log.warning("The REST API has no TLS: --ssl_config_file is for the gRPC API")
        if options.rest_api_enable_cors_support:
            log.warning("Pages of every site that a user of this machine visits may read answers of the REST API")

    def _check(self) -> None:
        if self.options.join_signatures and self.options.enable_batching:
            raise StatusError(
                "INVALID_ARGUMENT", "--join_signatures and --enable_batching both join requests; expected one of them"
            )
        if self.options.batching_parameters_file and not self.options.enable_batching:
            raise StatusError(
                "INVALID_ARGUMENT",
                "server_options.batching_parameters_file is set without setting server_options.enable_batching to "
                "true.",
            )

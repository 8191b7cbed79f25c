"""How a version folder becomes a servable: the SavedModel, what runs it, and its warm-up."""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path

from serving.server.batching.batch_config import BatchLimits
from serving.server.batching.batching import BatchingRunner, BatchScheduler
from serving.server.batching.joining import JoiningRunner
from serving.server.flags import ServerOptions
from serving.server.gate import RUNS_PER_CPU
from serving.server.loading.models import LoadedModel, LoadOptions
from serving.server.loading.servable import Servable
from serving.server.loading.warmup import warm_up
from serving.server.metrics import Metrics
from serving.server.run.bounded import BoundedRunner
from serving.server.status import StatusError

log = logging.getLogger(__name__)


class ServableLoader:
    """Loads versions as the options say."""

    def __init__(self, options: ServerOptions, metrics: Metrics) -> None:
        self._options, self._metrics = options, metrics
        self._limits = BatchLimits()
        self._scheduler: BatchScheduler | None = None
        self._joined_signatures = [name.strip() for name in options.join_signatures.split(",") if name.strip()]
        self._turns = threading.Semaphore(RUNS_PER_CPU * (os.cpu_count() or 1))
        both = options.tensorflow_session_parallelism
        self._load_options = LoadOptions(
            tags=tuple(tag.strip() for tag in options.saved_model_tags.split(",") if tag.strip()),
            intra_op_threads=both or options.tensorflow_intra_op_parallelism,
            inter_op_threads=both or options.tensorflow_inter_op_parallelism,
        )

    def load(self, name: str, version: int, path: Path) -> Servable:
        """The servable in the folder ``path``, warmed up, its requests batched where the options say so.

        Raises:
            StatusError: It cannot be loaded, or its warm-up fails.
        """
        limits = self._limits_of(path)
        begin = time.perf_counter()
        try:
            model = LoadedModel(path, self._load_options)
        except StatusError:
            self._metrics.loads.add((str(path), "fail"))
            raise
        self._metrics.loads.add((str(path), "success"))
        self._metrics.load_latency.add((str(path),), (time.perf_counter() - begin) * 1e6)
        try:
            self._warm_up(model)
        except BaseException:
            model.close()
            raise
        if self._joined_signatures:
            alone = BoundedRunner(model, self._turns)
            joining = JoiningRunner(name, model, alone, self._metrics)
            return Servable(name, version, model, alone, dict.fromkeys(self._joined_signatures, joining))
        if limits is None or self._scheduler is None:
            return Servable(name, version, model, model)
        return Servable(name, version, model, BatchingRunner(name, model, limits, self._scheduler))

    def start(self) -> None:
        """Reads the batching parameters and starts the threads that run batches, where batching is on.

        Raises:
            StatusError: The parameters cannot be read.
        """
        options = self._options
        if not options.enable_batching:
            return
        if options.batching_parameters_file:
            self._limits = BatchLimits.read(options.batching_parameters_file)
        self._scheduler = BatchScheduler(max(1, self._limits.n_threads), self._metrics)

    def stop(self) -> None:
        """Ends the threads that run batches."""
        if self._scheduler is not None:
            self._scheduler.stop()

    def _limits_of(self, path: Path) -> BatchLimits | None:
        """The limits for the version in ``path``; None where it is not batched."""
        options = self._options
        if not options.enable_batching:
            return None
        limits = BatchLimits.of_version(path) if options.enable_per_model_batching_parameters else self._limits
        if limits is not None:
            limits.check()
        return limits

    def _warm_up(self, model: LoadedModel) -> None:
        if not self._options.enable_model_warmup:
            return
        begin = time.perf_counter()
        n_records = warm_up(model, model)
        if n_records:
            elapsed_us = (time.perf_counter() - begin) * 1e6
            self._metrics.warmup_records.add((str(model.path),), n_records)
            self._metrics.warmup_latency.observe((str(model.path), "OK"), elapsed_us)
            log.info("Warm-up of %s: %d records in %.0f ms", model.path, n_records, elapsed_us / 1e3)

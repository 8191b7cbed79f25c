"""Recorded requests: a share of the answered Predict calls, in the format of warm-up files, for replay and monitoring.

The images in them are patient data: files are for the owner only, and the oldest goes when they grow beyond a bound.
"""

from __future__ import annotations

import logging
import os
import queue
import random
import threading
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from cxr_tasks.installation.storage.changes import remove_file

log = logging.getLogger(__name__)

FILES = 8
#: Records that wait for the disk; beyond it they are dropped, since no request may wait for its record.
WAITING = 64
#: Outputs much larger than the image, and made anew by asking again.
LEFT_OUT = ("heat_maps",)


class RequestLog:
    """Writes ``<folder>/<model>/<time>.tfrecord``: TFRecord of ``PredictionLog``, the version in its log_metadata."""

    def __init__(self, folder: Path, share: float, max_bytes: int, seed: int | None = None) -> None:
        """``share``: of the requests, in (0, 1]. ``max_bytes``: of all files of one model together."""
        self._folder, self._share, self._max_bytes = folder, share, max_bytes
        self._random = random.Random(seed)
        self._waiting: queue.Queue[prediction_log_pb2.PredictionLog | None] = queue.Queue(WAITING)
        self._files: dict[str, _File] = {}
        self._thread = threading.Thread(target=self._write_all, name="request-log", daemon=True)
        self._has_complained = False

    def start(self) -> None:
        """Begins to write."""
        self._thread.start()

    def stop(self) -> None:
        """Writes what waits and closes the files."""
        self._waiting.put(None)
        self._thread.join()

    def offer(self, request: predict_pb2.PredictRequest, response: predict_pb2.PredictResponse) -> None:
        """Takes the call down, if its turn has come and the disk keeps up."""
        if self._random.random() >= self._share:
            return
        record = prediction_log_pb2.PredictionLog()
        record.predict_log.request.CopyFrom(request)
        record.predict_log.response.model_spec.CopyFrom(response.model_spec)
        for name, tensor in response.outputs.items():
            if name not in LEFT_OUT:
                record.predict_log.response.outputs[name].CopyFrom(tensor)
        record.log_metadata.model_spec.CopyFrom(response.model_spec)
        try:
            self._waiting.put_nowait(record)
        except queue.Full:
            self._complain("the disk does not keep up; some requests are not recorded")

    def _write_all(self) -> None:
        while (record := self._waiting.get()) is not None:
            try:
                self._write(record)
            except (OSError, tf.errors.OpError) as error:
                self._complain(f"a request could not be recorded: {error}")
        for file in self._files.values():
            file.close()

    def _write(self, record: prediction_log_pb2.PredictionLog) -> None:
        name = record.log_metadata.model_spec.name
        file = self._files.get(name)
        if file is None or file.n_bytes >= self._max_bytes // FILES:
            if file is not None:
                file.close()
            file = self._files[name] = _File(self._folder / quote(name, safe=""))
        file.write(record.SerializeToString())

    def _complain(self, text: str) -> None:
        """Once: a full disk would otherwise fill the log as well."""
        if not self._has_complained:
            log.warning("Request log: %s", text)
        self._has_complained = True


class _File:
    """One file; making it removes the oldest beyond ``FILES``."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for old in sorted(folder.glob("*.tfrecord"))[: -(FILES - 1)]:
            remove_file(old)
        path = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}.tfrecord"
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        self._writer = tf.io.TFRecordWriter(str(path))
        self.n_bytes = 0

    def write(self, record: bytes) -> None:
        self._writer.write(record)
        self._writer.flush()
        self.n_bytes += len(record)

    def close(self) -> None:
        self._writer.close()

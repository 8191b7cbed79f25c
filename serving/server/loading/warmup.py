"""Warm-up of a version before it serves: the requests recorded in its ``assets.extra``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from serving.server.loading.models import LoadedModel
from serving.server.run.predict import predict
from serving.server.run.runner import Runner
from serving.server.status import StatusError

WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
MAX_RECORDS = 1000


def warm_up(model: LoadedModel, runner: Runner) -> int:
    """Runs the recorded requests of ``model`` and gives their number; 0 where it has no such file.

    Name and version in the records are ignored. Predict records are run; others have nothing to warm that Predict
    does not.

    Raises:
        StatusError: ``DATA_LOSS`` where the file is no TFRecord of ``PredictionLog``, ``INVALID_ARGUMENT`` beyond 1000
            records, or the status of the first record that fails: such a version must not serve.
    """
    file = model.path / WARMUP_FILE
    if not file.is_file():
        return 0
    n_records = 0
    for record in _records(file):
        n_records += 1
        if n_records > MAX_RECORDS:
            raise StatusError(
                "INVALID_ARGUMENT", f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {file}"
            )
        log = prediction_log_pb2.PredictionLog()
        try:
            log.ParseFromString(record)
        except DecodeError as error:
            raise StatusError("INVALID_ARGUMENT", f"Failed to parse warmup record: {n_records} from {file}") from error
        if log.HasField("predict_log"):
            predict(runner, model.signatures, log.predict_log.request, predict_pb2.PredictResponse())
    return n_records


def _records(file: Path) -> Iterator[bytes]:
    """The records of an uncompressed TFRecord file."""
    try:
        yield from tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
    except tf.errors.DataLossError as error:
        match = re.search(r"corrupted record at \d+|truncated record at \d+", error.message)
        raise StatusError(
            "DATA_LOSS",
            f"{match.group() if match else error.message} (Is this even a TFRecord file?). "
            "Please verify your warmup data is in TFRecord format.",
        ) from error

"""What the server answered, for the prediction log: requests and responses as frames for the writer beside it."""

from __future__ import annotations

import hashlib
import math
import time
from contextvars import ContextVar
from pathlib import Path
from typing import TypeAlias

import numpy as np
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import predict_pb2

from cxr_tasks.predictions.columns import SERVER, request_id_of
from cxr_tasks.predictions.feed import PredictionFeed
from cxr_tasks.predictions.frames import Frame, WriterSettings
from serving.export.golden import golden_images
from serving.server.flags import ServerOptions
from serving.server.run import tensors

#: The header, and the key of gRPC's metadata, by which a client names its request and is told the name.
REQUEST_ID_HEADER = "x-request-id"
#: Of the call that this thread answers.
REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
INPUT, PROBABILITIES, DECISIONS, LABELS, STATUS, TYPICALITY = (
    "image_bytes", "probabilities", "decisions", "labels", "status", "typicality",
)  # fmt: skip

Call: TypeAlias = tuple[predict_pb2.PredictRequest, predict_pb2.PredictResponse, str, float]


class PredictionLog:
    """Notes what Predict answered; by what a request holds, those of other models than ours are left out."""

    def __init__(self, options: ServerOptions) -> None:
        settings = WriterSettings(
            folder=str(Path(options.prediction_log_folder).absolute()),
            days=options.prediction_log_days,
            max_bytes=options.prediction_log_max_mib << 20,
            flush_s=options.prediction_log_flush_s,
            left_out=tuple(hashlib.sha256(image).hexdigest() for image in golden_images().values()),
        )
        self._feed: PredictionFeed[Call] = PredictionFeed(settings, frame_of)

    def start(self) -> None:
        self._feed.start()

    def stop(self) -> None:
        """Write what waits."""
        self._feed.stop()

    def offer(self, request: predict_pb2.PredictRequest, response: predict_pb2.PredictResponse) -> None:
        """Take the call down, if the writer keeps up. Both are only read from now on."""
        if INPUT in request.inputs and PROBABILITIES in response.outputs:
            call = (request, response, REQUEST_ID.get(), time.time())
            self._feed.offer(call, request.inputs[INPUT].ByteSize())


def begin_request(given: str) -> str:
    """Set the id of the call that this thread is about to answer; the id."""
    request_id = request_id_of(given)
    REQUEST_ID.set(request_id)
    return request_id


def frame_of(call: Call, n_lost: int) -> Frame | None:
    """The call as a frame; None where it holds no image, or its outputs do not say of which findings they are."""
    request, response, request_id, time_s = call
    outputs = response.outputs
    probabilities = _decoded(outputs, PROBABILITIES)
    images = tensors.decode(request.inputs[INPUT]).reshape(-1)
    labels = _decoded(outputs, LABELS)
    if probabilities is None or labels is None or not len(images) or probabilities.shape[:1] != images.shape:
        return None
    decisions = _decoded(outputs, DECISIONS)
    typicality, status = _decoded(outputs, TYPICALITY), _decoded(outputs, STATUS)
    asked = request.model_spec
    return Frame(
        time_s=time_s,
        request_id=request_id or request_id_of(""),
        model=response.model_spec.name,
        version=response.model_spec.version.value,
        label=f"version {asked.version.value}" if asked.HasField("version") else asked.version_label,
        logged_by=SERVER,
        findings=tuple(label.decode("utf-8", "replace") for label in labels[0]),
        probabilities=tuple(map(tuple, probabilities.astype(float).tolist())),
        decisions=tuple(map(tuple, (np.zeros_like(probabilities, bool) if decisions is None else decisions).tolist())),
        refused=tuple(status is not None and not text.startswith(b"ok") for text in _each(status, len(images))),
        typicality=tuple(_each(None if typicality is None else typicality.reshape(len(images), -1)[:, 0], len(images))),
        images=tuple(images.tolist()),
        n_lost_before=n_lost,
    )


def _decoded(outputs: dict[str, tensor_pb2.TensorProto], name: str) -> np.ndarray | None:
    # Asking a protobuf map for what it lacks would add it, to a response that is being sent.
    return tensors.decode(outputs[name]) if name in outputs else None


def _each(values: np.ndarray | None, n: int) -> list:
    return [math.nan] * n if values is None else values.reshape(-1).tolist()

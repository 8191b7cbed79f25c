"""Calls to a model server through TensorFlow Serving's own stubs, as any client in any language makes them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from cxr_tasks.contracts.errors import ServiceUnavailable

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
AVAILABLE = get_model_status_pb2.ModelVersionStatus.AVAILABLE


@dataclass(frozen=True, slots=True)
class GrpcClient:
    """One channel to one server; addresses are ``host:port``."""

    address: str
    channel: grpc.Channel

    @classmethod
    @contextlib.contextmanager
    def connected(cls, address: str) -> Iterator[GrpcClient]:
        options = [("grpc.max_receive_message_length", MAX_MESSAGE_BYTES), ("grpc.enable_http_proxy", 0)]
        with grpc.insecure_channel(address, options=options) as channel:
            yield cls(address, channel)

    def version_states(self, model_name: str) -> dict[int, tuple[int, str]]:
        """Version -> (state, error message); empty where the server is not up yet or knows no such model."""
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = model_name
        try:
            answer = model_service_pb2_grpc.ModelServiceStub(self.channel).GetModelStatus(request, timeout=5)
        except grpc.RpcError as error:
            if error.code() in (
                grpc.StatusCode.UNAVAILABLE,
                grpc.StatusCode.NOT_FOUND,
                grpc.StatusCode.DEADLINE_EXCEEDED,
            ):
                return {}
            raise
        return {one.version: (one.state, one.status.error_message) for one in answer.model_version_status}

    def wait_available(
        self, model_name: str, version: int, limit_s: float, require_alive: Callable[[], None] | None = None
    ) -> float:
        """Seconds until ``version`` was AVAILABLE; ``require_alive`` may end the waiting early by raising.

        Raises:
            ServiceUnavailable: It was not within ``limit_s``; the last state and the server's reason are named.
        """
        start = time.monotonic()
        last: tuple[int, str] | None = None
        while time.monotonic() - start < limit_s:
            last = self.version_states(model_name).get(version)
            if last is not None and last[0] == AVAILABLE:
                return time.monotonic() - start
            if last is not None and last[1] and last[0] == get_model_status_pb2.ModelVersionStatus.END:
                break
            if require_alive is not None:
                require_alive()
            time.sleep(0.1)
        state = "no answer" if last is None else get_model_status_pb2.ModelVersionStatus.State.Name(last[0])
        reason = f": {last[1]}" if last and last[1] else ""
        raise ServiceUnavailable(
            f"model server at {self.address}: expected {model_name} version {version} to be AVAILABLE within "
            f"{limit_s:.0f} s, found {state}{reason}"
        )

    def signatures(self, model_name: str, version: int) -> dict[str, dict[str, dict[str, int]]]:
        """Signature -> ``inputs`` and ``outputs`` -> tensor name -> dtype number, as GetModelMetadata tells."""
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name = model_name
        request.model_spec.version.value = version
        stub = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        answer = stub.GetModelMetadata(request, timeout=10)
        found = get_model_metadata_pb2.SignatureDefMap()
        answer.metadata["signature_def"].Unpack(found)
        return {
            name: {
                "inputs": {key: info.dtype for key, info in one.inputs.items()},
                "outputs": {key: info.dtype for key, info in one.outputs.items()},
            }
            for name, one in found.signature_def.items()
        }

    def predict(
        self,
        model_name: str,
        images: list[bytes],
        *,
        at: int | str | None = None,
        signature_name: str = "serving_default",
        timeout_s: float = 30,
    ) -> tuple[int, dict[str, np.ndarray]]:
        """The version that answered, and its outputs as arrays with the batch as first dimension.

        ``at``: a version, a label, or None for the newest version that is loaded.
        """
        request = predict_pb2.PredictRequest()
        request.model_spec.name = model_name
        request.model_spec.signature_name = signature_name
        if isinstance(at, int):
            request.model_spec.version.value = at
        elif at is not None:
            request.model_spec.version_label = at
        request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(images, dtype=tf.string, shape=[len(images)]))
        answer = prediction_service_pb2_grpc.PredictionServiceStub(self.channel).Predict(request, timeout=timeout_s)
        outputs = {name: tf.make_ndarray(tensor) for name, tensor in answer.outputs.items()}
        return answer.model_spec.version.value, outputs

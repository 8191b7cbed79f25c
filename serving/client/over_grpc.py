"""Calls by gRPC: to protocol messages and back, and over a channel, waited for or awaited."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from serving.client.answers import ServedVersion, Signatures
from serving.client.calls import INPUT_NAME, At, Call, CallFailed, Described, Metadata, Outputs, Predict, Reply
from serving.client.protos import STATES, STRING, TYPES, message_class

if TYPE_CHECKING:
    import numpy as np

#: Heat maps of many findings are larger than gRPC's usual 4 MiB.
MOST_BYTES = 64 * 1024 * 1024
OPTIONS = (
    ("grpc.max_receive_message_length", MOST_BYTES),
    ("grpc.max_send_message_length", MOST_BYTES),
    # A proxy of the environment must not see patients' images.
    ("grpc.enable_http_proxy", 0),
    # After an outage a channel would wait up to two minutes before it tries again.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Clients of one process that talk to one server have a connection each.
    ("grpc.use_local_subchannel_pool", 1),
)
_METHODS = {
    "Predict": ("/tensorflow.serving.PredictionService/Predict", "PredictResponse"),
    "Metadata": ("/tensorflow.serving.PredictionService/GetModelMetadata", "MetadataResponse"),
    "Status": ("/tensorflow.serving.ModelService/GetModelStatus", "StatusResponse"),
}


class GrpcTransport:
    """One channel to the server at ``address`` (``host:port``), with TLS where ``ca_file`` is given."""

    def __init__(self, address: str, ca_file: Path | None = None) -> None:
        import grpc

        self.address = address
        self._channel = (
            grpc.secure_channel(address, _credentials(ca_file), options=OPTIONS)
            if ca_file
            else grpc.insecure_channel(address, options=OPTIONS)
        )
        self._methods = _methods(self._channel)

    def send(self, call: Call, timeout_s: float) -> Reply:
        import grpc

        name = type(call).__name__
        try:
            return decoded(name, self._methods[name](encoded(call), timeout=timeout_s))
        except grpc.RpcError as error:
            raise CallFailed(error.code().name, error.details() or "") from None

    def close(self) -> None:
        self._channel.close()


class AsyncGrpcTransport:
    """As ``GrpcTransport``; belongs to the event loop that runs at its first call."""

    def __init__(self, address: str, ca_file: Path | None = None) -> None:
        self.address, self._ca_file = address, ca_file
        self._channel: Any = None

    async def send(self, call: Call, timeout_s: float) -> Reply:
        import grpc

        if self._channel is None:
            # Not before: a channel of grpc.aio takes the loop of where it is made.
            self._channel = (
                grpc.aio.secure_channel(self.address, _credentials(self._ca_file), options=OPTIONS)
                if self._ca_file
                else grpc.aio.insecure_channel(self.address, options=OPTIONS)
            )
            self._methods = _methods(self._channel)
        name = type(call).__name__
        try:
            return decoded(name, await self._methods[name](encoded(call), timeout=timeout_s))
        except grpc.RpcError as error:
            raise CallFailed(error.code().name, error.details() or "") from None

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close()


def encoded(call: Call) -> Any:
    """The request message of a call."""
    if isinstance(call, Predict):
        request = message_class("PredictRequest")(output_filter=call.outputs)
        _name_model(request.model_spec, call.model, call.at)
        request.model_spec.signature_name = call.signature
        images = request.inputs[INPUT_NAME]
        images.dtype = STRING
        images.tensor_shape.dim.add(size=len(call.images))
        images.string_val.extend(call.images)
        return request
    if isinstance(call, Metadata):
        request = message_class("MetadataRequest")(metadata_field=["signature_def"])
        _name_model(request.model_spec, call.model, call.at)
        return request
    request = message_class("StatusRequest")()
    request.model_spec.name = call.model
    return request


def decoded(name: str, answer: Any) -> Reply:
    """What the response message to a call of that ``name`` says."""
    if name == "Predict":
        return Outputs(
            answer.model_spec.version.value, {key: array_of(tensor) for key, tensor in answer.outputs.items()}
        )
    if name == "Metadata":
        return Described(answer.model_spec.version.value, _signatures(answer.metadata["signature_def"].value))
    return tuple(
        ServedVersion(status.version, STATES.get(status.state, "UNKNOWN"), status.status.error_message)
        for status in answer.model_version_status
    )


def array_of(tensor: Any) -> np.ndarray:
    """A tensor message as an array; strings as ``bytes`` objects.

    Raises:
        CallFailed: It is of a type that no model of ours has, or holds another number of values than its shape says.
    """
    import numpy as np

    if tensor.dtype not in TYPES:
        raise CallFailed("INTERNAL", f"an output of TensorFlow's type {tensor.dtype}, which this client does not read")
    dtype, field = TYPES[tensor.dtype]
    shape = [dimension.size for dimension in tensor.tensor_shape.dim]
    if tensor.tensor_content:
        values = np.frombuffer(tensor.tensor_content, dtype)
    else:
        values = np.array(list(getattr(tensor, field)), dtype)
    n_values = int(np.prod(shape))
    if len(values) != n_values and 0 < len(values) < n_values:
        # The last value stands for all that follow (tensor.proto).
        values = np.concatenate([values, np.repeat(values[-1:], n_values - len(values))])
    if len(values) != n_values:
        raise CallFailed("INTERNAL", f"an output of shape {shape} with {len(values)} values")
    return values.reshape(shape)


def _methods(channel: Any) -> dict[str, Any]:
    return {
        name: channel.unary_unary(
            path,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=message_class(answer).FromString,
        )
        for name, (path, answer) in _METHODS.items()
    }


def _name_model(spec: Any, model: str, at: At) -> None:
    spec.name = model
    if isinstance(at, int):
        spec.version.value = at
    elif at is not None:
        spec.version_label = at


def _signatures(packed: bytes) -> Signatures:
    signatures = message_class("SignatureMap").FromString(packed)
    return {
        name: {
            "inputs": {key: info.dtype for key, info in signature.inputs.items()},
            "outputs": {key: info.dtype for key, info in signature.outputs.items()},
        }
        for name, signature in signatures.signature_def.items()
    }


def _credentials(ca_file: Path | None) -> Any:
    import grpc

    return grpc.ssl_channel_credentials(ca_file.read_bytes() if ca_file else None)

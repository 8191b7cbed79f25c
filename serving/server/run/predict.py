"""``Predict`` on one loaded model: checks in the server's order, then the run, then typed outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import numpy as np
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import predict_pb2

from serving.server.run import tensors
from serving.server.run.runner import FOR_EVER, Patience, Runner
from serving.server.status import StatusError

DEFAULT_SIGNATURE = "serving_default"
SignatureDef: TypeAlias = meta_graph_pb2.SignatureDef

_RESOURCE_TEXT = (
    "Invalid resource type hash code: 0(name:  type: ). Perhaps a resource tensor was being provided as a feed? That "
    "is not currently allowed. Please file an issue at https://github.com/tensorflow/tensorflow/issues/new, ideally "
    "with a short code snippet that leads to this error message."
)


def predict(
    runner: Runner,
    signatures: Mapping[str, SignatureDef],
    request: predict_pb2.PredictRequest,
    response: predict_pb2.PredictResponse,
    encode: tensors.Encoder = tensors.encode_typed,
    patience: Patience = FOR_EVER,
) -> None:
    """Fills ``response.outputs`` and the signature's name in its model_spec.

    The order of the checks is part of the behaviour: signature, number of inputs, names and bytes of the inputs,
    output filter, dtypes. Nothing compares shapes with the signature; the ops speak for themselves.

    Raises:
        StatusError: ``FAILED_PRECONDITION`` for an unknown signature, ``INVALID_ARGUMENT`` for unfit inputs or filter,
            or the status of the op that failed.
    """
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    signature = signatures.get(name)
    if signature is None:
        raise StatusError("FAILED_PRECONDITION", f'Serving signature key "{name}" not found.')
    _check_count(signature, request.inputs)
    feeds = _feeds(signature, request.inputs)
    aliases = _outputs(signature, request.output_filter)
    arrays = run_signature(runner, signature, feeds, aliases, patience)
    for alias, array in zip(aliases, arrays, strict=True):
        encode(array, response.outputs[alias])
    response.model_spec.signature_name = name


def run_signature(
    runner: Runner,
    signature: SignatureDef,
    feeds: Mapping[str, np.ndarray],
    aliases: Iterable[str],
    patience: Patience = FOR_EVER,
) -> list[np.ndarray]:
    """The outputs ``aliases`` for inputs given by alias; the runner checks their dtypes.

    Raises:
        StatusError: What the run failed with.
    """
    by_tensor = {signature.inputs[alias].name: array for alias, array in feeds.items()}
    names = sorted(by_tensor)
    fetches = [signature.outputs[alias].name for alias in aliases]
    return runner.run(names, [by_tensor[name] for name in names], fetches, patience)


def _check_count(signature: SignatureDef, sent: Mapping[str, tensor_pb2.TensorProto]) -> None:
    wanted, given, optional = set(signature.inputs), set(sent), set(signature.defaults)
    if len(given) == len(wanted) or (len(given) < len(wanted) and wanted - given <= optional):
        return
    raise StatusError(
        "INVALID_ARGUMENT",
        f"input size does not match signature: {len(given)}!={len(wanted)} len({_set(given)}) != len({_set(wanted)}). "
        f"Sent extra: {_set(given - wanted)}. Missing but required: {_set(wanted - given - optional)}.",
    )


def _feeds(signature: SignatureDef, sent: Mapping[str, tensor_pb2.TensorProto]) -> dict[str, np.ndarray]:
    feeds: dict[str, np.ndarray] = {}
    for alias in sorted(signature.inputs):
        if alias in sent:
            feeds[alias] = _decoded(alias, sent[alias], signature.inputs[alias].dtype)
        elif alias in signature.defaults:
            feeds[alias] = _decoded(alias, signature.defaults[alias], signature.inputs[alias].dtype)
        else:
            raise StatusError(
                "INVALID_ARGUMENT",
                f"Signature input alias: {alias}(feed name: {signature.inputs[alias].name}) not found in request and "
                f"no default value provided. Inputs expected to be in the request {_set(sent)}, or default input alias "
                f"set: {','.join(sorted(signature.defaults))}",
            )
    used = [alias for alias in feeds if alias in sent]
    if len(used) != len(sent):
        raise StatusError(
            "INVALID_ARGUMENT",
            f"Inputs contains invalid name. Used request inputs: {','.join(used)}, request input: {','.join(sent)}",
        )
    return feeds


def _decoded(alias: str, proto: tensor_pb2.TensorProto, expected: int) -> np.ndarray:
    if proto.dtype == types_pb2.DT_RESOURCE:
        raise StatusError("INVALID_ARGUMENT", _RESOURCE_TEXT)
    if proto.dtype == types_pb2.DT_VARIANT:
        # Parsed by TensorFlow, but no signature takes one and numpy holds none.
        text = f"Expects arg[0] to be {tensors.dtype_name(expected)} but variant is provided"
        raise StatusError("INVALID_ARGUMENT", text)
    try:
        return tensors.decode(proto)
    except tensors.TensorDefect as error:
        why = f": {error}" if str(error) else ""
        raise StatusError("INVALID_ARGUMENT", f"tensor parsing error: {alias}{why}") from error


def _outputs(signature: SignatureDef, output_filter: Iterable[str]) -> list[str]:
    aliases: list[str] = []
    for alias in output_filter:
        if alias not in signature.outputs:
            raise StatusError(
                "INVALID_ARGUMENT",
                f"output tensor alias not found in signature: {alias} Outputs expected to be in the set "
                f"{_set(signature.outputs)}.",
            )
        if alias in aliases:
            raise StatusError("INVALID_ARGUMENT", f"duplicate output tensor alias: {alias}")
        aliases.append(alias)
    return sorted(aliases) or sorted(signature.outputs)


def _set(names: Iterable[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"

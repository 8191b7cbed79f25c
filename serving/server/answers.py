"""What each call answers, free of gRPC and HTTP: request protos in, response protos out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

from serving.server.core import ServerCore
from serving.server.loading.servable import Servable
from serving.server.prediction_log import PredictionLog
from serving.server.request_log import RequestLog
from serving.server.run import tensors
from serving.server.run.examples import classify, multi_inference, regress
from serving.server.run.predict import DEFAULT_SIGNATURE, predict
from serving.server.run.runner import FOR_EVER, Patience
from serving.server.status import StatusError


class Answers:
    """The calls of the services on one ``ServerCore``; each raises ``StatusError``."""

    def __init__(
        self, core: ServerCore, request_log: RequestLog | None = None, prediction_log: PredictionLog | None = None
    ) -> None:
        self._core, self.metrics, self._request_log = core, core.metrics, request_log
        self.prediction_log = prediction_log
        self._check_method = core.options.enable_signature_method_name_check
        as_content = core.options.enable_serialization_as_tensor_content
        self._encode = tensors.encode_content if as_content else tensors.encode_typed

    def predict(
        self, request: predict_pb2.PredictRequest, patience: Patience = FOR_EVER
    ) -> predict_pb2.PredictResponse:
        """Runs a signature."""
        response = predict_pb2.PredictResponse()
        with self._serving("Predict", request) as servable:
            runner = servable.runner_of(request.model_spec.signature_name or DEFAULT_SIGNATURE)
            predict(runner, servable.signatures, request, response, self._encode, patience)
            _name_version(response.model_spec, servable)
        if self._request_log is not None:
            self._request_log.offer(request, response)
        if self.prediction_log is not None:
            self.prediction_log.offer(request, response)
        return response

    def classify(
        self, request: classification_pb2.ClassificationRequest, patience: Patience = FOR_EVER
    ) -> classification_pb2.ClassificationResponse:
        """Classes and scores of examples."""
        response = classification_pb2.ClassificationResponse()
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        with self._serving("Classify", request) as servable:
            response.result.CopyFrom(classify(servable, name, request.input, self._check_method, patience))
            _name_version(response.model_spec, servable)
            response.model_spec.signature_name = name
            self._count_examples(servable.name, len(response.result.classifications))
        return response

    def regress(
        self, request: regression_pb2.RegressionRequest, patience: Patience = FOR_EVER
    ) -> regression_pb2.RegressionResponse:
        """One value for each example."""
        response = regression_pb2.RegressionResponse()
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        with self._serving("Regress", request) as servable:
            response.result.CopyFrom(regress(servable, name, request.input, self._check_method, patience))
            _name_version(response.model_spec, servable)
            response.model_spec.signature_name = name
            self._count_examples(servable.name, len(response.result.regressions))
        return response

    def multi_inference(
        self, request: inference_pb2.MultiInferenceRequest, patience: Patience = FOR_EVER
    ) -> inference_pb2.MultiInferenceResponse:
        """Several signatures of one model on the same examples."""
        response = inference_pb2.MultiInferenceResponse()
        spec = request.tasks[0].model_spec if request.tasks else model_pb2.ModelSpec()
        with self._measured("MultiInference", spec.name), self._core.servable(spec) as servable:
            multi_inference(servable, request.tasks, request.input, self._check_method, response, patience)
            for result in response.results:
                _name_version(result.model_spec, servable)
        return response

    def metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """All signatures of a version; ``StatusError`` where it is not served, or another field is asked for."""
        _need_model_spec(request)
        if not request.metadata_field:
            raise StatusError("INVALID_ARGUMENT", "GetModelMetadataRequest must specify at least one metadata_field")
        for name in request.metadata_field:
            if name != "signature_def":
                raise StatusError("INVALID_ARGUMENT", f"Metadata field {name} is not supported")
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        with self._core.servable(request.model_spec) as servable:
            _name_version(response.model_spec, servable)
            signatures = get_model_metadata_pb2.SignatureDefMap()
            for name, signature in servable.signatures.items():
                signatures.signature_def[name].CopyFrom(signature)
        response.metadata["signature_def"].Pack(signatures)
        return response

    def input_dtypes(self, spec: model_pb2.ModelSpec) -> dict[str, int]:
        """Input -> its dtype (``DataType``), for those who must know it to read a request.

        Raises:
            StatusError: The version is not served, or has no such signature.
        """
        name = spec.signature_name or DEFAULT_SIGNATURE
        with self._core.servable(spec) as servable:
            signature = servable.signatures.get(name)
            if signature is None:
                text = f'Serving signature name: "{name}" not found in signature def'
                raise StatusError("INVALID_ARGUMENT", text)
            return {alias: signature.inputs[alias].dtype for alias in sorted(signature.inputs)}

    def status(
        self, request: get_model_status_pb2.GetModelStatusRequest
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """The states of a model's versions, newest first."""
        _need_model_spec(request)
        spec = request.model_spec
        states = self._core.board.of_model(spec.name)
        if spec.WhichOneof("version_choice") == "version":
            version = spec.version.value
            if version not in states:
                raise StatusError("NOT_FOUND", f"Could not find version {version} of model {spec.name}")
            states = {version: states[version]}
        if not states:
            raise StatusError("NOT_FOUND", f"Could not find any versions of model {spec.name}")
        response = get_model_status_pb2.GetModelStatusResponse()
        for version, state in states.items():
            listed = response.model_version_status.add(version=version, state=state.state)
            listed.status.SetInParent()
            if state.error is not None:
                listed.status.error_code = state.error.number
                listed.status.error_message = state.error.message
        return response

    def reload(
        self, request: model_management_pb2.ReloadConfigRequest, go_on: Callable[[], bool]
    ) -> model_management_pb2.ReloadConfigResponse:
        """Replaces the list of models."""
        before = {name: self.metrics.total(name) for name in request.metric_names}
        self._core.reload(request.config, go_on)
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        for name, total in before.items():
            response.metric.add(name=name, int64_value_increase=int(self.metrics.total(name) - total))
        return response

    @contextmanager
    def _serving(self, api: str, request: Any) -> Iterator[Servable]:
        with self._measured(api, request.model_spec.name):
            _need_model_spec(request)
            with self._core.servable(request.model_spec) as servable:
                yield servable

    @contextmanager
    def _measured(self, api: str, model_name: str) -> Iterator[None]:
        """Counts a call by its status, and its time where it went well."""
        begin = time.perf_counter()
        try:
            yield
        except StatusError as error:
            self.metrics.requests.add((model_name, error.code.name), is_served=self._core.lists(model_name))
            raise
        elapsed_us = (time.perf_counter() - begin) * 1e6
        self.metrics.requests.add((model_name, "OK"), is_served=True)
        self.metrics.runtime.observe((model_name, api, "TF1"), elapsed_us)

    def _count_examples(self, model_name: str, n_examples: int) -> None:
        self.metrics.examples.add((model_name,), n_examples)
        self.metrics.example_counts.observe((model_name,), n_examples)


def _name_version(spec: model_pb2.ModelSpec, servable: Servable) -> None:
    spec.name = servable.name
    spec.version.value = servable.version


def _need_model_spec(request: Any) -> None:
    if not request.HasField("model_spec"):
        raise StatusError("INVALID_ARGUMENT", "Missing ModelSpec")

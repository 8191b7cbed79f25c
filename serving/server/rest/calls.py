"""The REST API: which path and method mean which call, and JSON in and out of it."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import orjson
from google.protobuf import json_format
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

from serving.server.answers import Answers
from serving.server.metrics import Metrics
from serving.server.rest import json_text
from serving.server.rest.json_examples import fill_examples
from serving.server.rest.json_outputs import outputs_as_columns, outputs_as_rows
from serving.server.rest.json_shown import pretty
from serving.server.rest.json_tensors import fill_inputs
from serving.server.run.runner import FOR_EVER, Patience
from serving.server.status import StatusError, shortened

NOT_FOUND_PAGE = b"<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>\n</HEAD><BODY>\n<H1>Not Found</H1>\n</BODY></HTML>\n"
JSON_TYPE = "application/json"

_CHOICE = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_RUN = re.compile(rf"/v1/models/(?P<name>[^/:]+){_CHOICE}:(?P<call>classify|regress|predict)", re.ASCII)
_LOOK = re.compile(rf"/v1/models(?:/(?P<name>[^/:]+))?{_CHOICE}(?:/(?P<metadata>metadata))?", re.ASCII)
_HTTP_CODES = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
MAX_VERSION = 2**63 - 1


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What goes back: status, content type and body."""

    status: int
    content_type: str
    body: bytes


class RestApi:
    """Answers REST requests; knows nothing of sockets."""

    def __init__(self, answers: Answers, metrics: Metrics, metrics_path: str | None) -> None:
        """``metrics_path``: where the Prometheus page is; None where there is none."""
        self._answers, self._metrics, self._metrics_path = answers, metrics, metrics_path
        self.names_requests = answers.prediction_log is not None

    def answer(self, method: str, path: str, body: bytes | bytearray, patience: Patience = FOR_EVER) -> HttpAnswer:
        """The answer to ``method path`` (still percent-encoded, query included) with ``body`` (unpacked)."""
        if path == self._metrics_path:
            return HttpAnswer(200, "text/plain", self._metrics.page().encode())
        if not path.startswith("/v1/"):
            return HttpAnswer(404, "text/html", NOT_FOUND_PAGE)
        begin = time.perf_counter()
        try:
            name, call, text = self._called(method, path, body, patience)
        except StatusError as error:
            shown = json.dumps({"error": shortened(error.message)}, ensure_ascii=False, indent=4)
            return HttpAnswer(_HTTP_CODES.get(error.code.name, 500), JSON_TYPE, json_text.to_bytes(shown))
        self._metrics.latency.observe((name, call, "REST"), (time.perf_counter() - begin) * 1e6)
        return HttpAnswer(200, JSON_TYPE, text)

    def _called(self, method: str, path: str, body: bytes | bytearray, patience: Patience) -> tuple[str, str, bytes]:
        """The model, the call and the JSON it answered."""
        match = _RUN.fullmatch(path) if method == "POST" else _LOOK.fullmatch(path) if method == "GET" else None
        if match is None:
            raise StatusError("INVALID_ARGUMENT", f"Malformed request: {method} {path}")
        spec = _spec(match, f"{method} {path}")
        if method == "GET":
            return spec.name, "", self._metadata(spec) if match["metadata"] else self._status(spec)
        document = json_text.parse(body)
        if not isinstance(document, dict):
            raise StatusError("INVALID_ARGUMENT", f"JSON Value: {pretty(document)} Is not object")
        _take_signature(document, spec)
        run = {"predict": self._predict, "classify": self._classify, "regress": self._regress}[match["call"]]
        return spec.name, match["call"], orjson.dumps(run(spec, document, patience), option=orjson.OPT_SERIALIZE_NUMPY)

    def _predict(self, spec: model_pb2.ModelSpec, document: dict[str, Any], patience: Patience) -> dict[str, Any]:
        request = predict_pb2.PredictRequest(model_spec=spec)
        is_row = fill_inputs(document, self._answers.input_dtypes(spec), request)
        outputs = self._answers.predict(request, patience).outputs
        return {"predictions": outputs_as_rows(outputs)} if is_row else {"outputs": outputs_as_columns(outputs)}

    def _classify(self, spec: model_pb2.ModelSpec, document: dict[str, Any], patience: Patience) -> dict[str, Any]:
        request = classification_pb2.ClassificationRequest(model_spec=spec)
        fill_examples(document, "classify", request.input)
        rows = self._answers.classify(request, patience).result.classifications
        return {"results": [[[scored.label, float(f"{scored.score:.9g}")] for scored in row.classes] for row in rows]}

    def _regress(self, spec: model_pb2.ModelSpec, document: dict[str, Any], patience: Patience) -> dict[str, Any]:
        request = regression_pb2.RegressionRequest(model_spec=spec)
        fill_examples(document, "regress", request.input)
        return {
            "results": [
                float(f"{regression.value:.9g}")
                for regression in self._answers.regress(request, patience).result.regressions
            ]
        }

    def _status(self, spec: model_pb2.ModelSpec) -> bytes:
        return _as_json(self._answers.status(get_model_status_pb2.GetModelStatusRequest(model_spec=spec))).encode()

    def _metadata(self, spec: model_pb2.ModelSpec) -> bytes:
        request = get_model_metadata_pb2.GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])
        answer = self._answers.metadata(request)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        answer.metadata["signature_def"].Unpack(signatures)
        shown = {"name": spec.name, "version": str(answer.model_spec.version.value), "signature_name": ""}
        return orjson.dumps({"model_spec": shown, "metadata": {"signature_def": orjson.loads(_as_json(signatures))}})


def _spec(match: re.Match[str], request: str) -> model_pb2.ModelSpec:
    if not match["name"]:
        raise StatusError("INVALID_ARGUMENT", "Missing model name in request.")
    spec = model_pb2.ModelSpec(name=unquote(match["name"]))
    if match["version"]:
        digits = match["version"].lstrip("0") or "0"
        # More than twenty digits are no version, and cost time to parse.
        if int(digits[:20]) > MAX_VERSION:
            raise StatusError("INVALID_ARGUMENT", f"Failed to convert version: {match['version'][:20]} to numeric.")
        spec.version.value = int(digits)
    elif match["label"]:
        spec.version_label = unquote(match["label"])
    return spec


def _take_signature(document: dict[str, Any], spec: model_pb2.ModelSpec) -> None:
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise StatusError(
            "INVALID_ARGUMENT",
            f"JSON Value: {pretty(document)} not formatted correctly. 'signature_name' key must be a string value.",
        )
    spec.signature_name = json_text.to_bytes(name).decode("utf-8", "replace")


def _as_json(message: Any) -> str:
    return json_format.MessageToJson(
        message, always_print_fields_with_no_presence=True, preserving_proto_field_name=True, indent=1
    )

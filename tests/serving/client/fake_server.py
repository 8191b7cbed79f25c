"""A server on the loopback interface that speaks as a model server does on both ports; its model is told what to say.

For what a real one does not do when asked: to be busy, to break off, to be slow, to be of an older export.
"""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import grpc
import numpy as np

from serving.client.protos import BOOL, FLOAT, STRING, message_class

#: What the fake model takes for an image.
IMAGE = b"\x89PNG of "
GOOD = IMAGE + b"x" * 67  # 75 bytes, which the fake model takes for 0.75
VERSION = 7
LABELS = ["pneumonia"]


@dataclass
class FakeServer:
    """Both ports; what a test changes is looked at with each request."""

    has_lenient: bool = True
    typicality: bool = False
    versions: dict[int, str] = field(default_factory=lambda: {VERSION: "AVAILABLE"})
    labels: dict[str, int] = field(default_factory=lambda: {"stable": VERSION})
    lacks: str = ""
    """An output that its model does not have."""
    fail_with: list[tuple[str, str]] = field(default_factory=list)
    """Codes and texts for the next requests, in turn."""
    slow_s: float = 0.0
    takes: bytes = IMAGE
    """What an image begins with."""
    requests: list[tuple[str, int]] = field(default_factory=list)
    """Signature and number of images of each request that was taken."""
    images: list[bytes] = field(default_factory=list)
    peers: list[tuple[str, int]] = field(default_factory=list)
    """Of each request by REST, the other end of its connection."""
    grpc_port: int = 0
    rest_port: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def grpc_address(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def rest_url(self) -> str:
        return f"http://127.0.0.1:{self.rest_port}"

    def version_of(self, version: int, label: str) -> int:
        if label and label not in self.labels:
            raise Failed("INVALID_ARGUMENT", f"Unrecognized servable version label: {label}")
        found = version or (self.labels[label] if label else max(self.versions))
        if found not in self.versions:
            raise Failed("NOT_FOUND", f"Servable not found for request: Specific(cxr_binary, {version or label})")
        return found

    def run(self, signature: str, images: list[bytes], by_rest: bool) -> dict[str, np.ndarray]:
        with self.lock:
            failure = self.fail_with.pop(0) if self.fail_with else None
            self.requests.append((signature, len(images)))
        if self.slow_s:
            time.sleep(self.slow_s)
        if failure:
            raise Failed(*failure)
        if signature == "lenient" and not self.has_lenient:
            known = f'name: "{signature}" not found in signature def' if by_rest else f'key "{signature}" not found.'
            raise Failed("INVALID_ARGUMENT" if by_rest else "FAILED_PRECONDITION", f"Serving signature {known}")
        is_image = [one.startswith(self.takes) for one in images]
        if signature != "lenient" and not all(is_image):
            raise Failed("INVALID_ARGUMENT", f"image {is_image.index(False)}: no image")
        with self.lock:
            self.images += images
        score = [[np.nan if b"no number" in one else len(one) % 100 / 100] for one in images]
        score = np.array(score, np.float32).reshape(-1, 1)
        outputs = {
            "labels": np.array([LABELS] * len(images), object),
            "probabilities": np.where(np.array(is_image).reshape(-1, 1), score, np.float32("nan")),
            "decisions": score > 0.5,
        }
        if signature == "lenient":
            words = ["ok: holds a mark" if b"mark" in one else "ok" for one in images]
            refused = [word if good else "refused: no image" for word, good in zip(words, is_image, strict=True)]
            outputs["status"] = np.array(refused, object)
        if signature == "explain":
            outputs["heat_maps"] = np.full((len(images), 1, 4, 4), 0.5, np.float32)
        if self.typicality:
            strange = [b"strange" in one for one in images]
            outputs["typicality"] = np.array([0.001 if one else 0.6 for one in strange], np.float32)
            outputs["is_unusual"] = np.array(strange)
        outputs.pop(self.lacks, None)
        return outputs


class Failed(Exception):
    def __init__(self, code: str, text: str) -> None:
        super().__init__(code, text)
        self.code, self.text = code, text


@contextlib.contextmanager
def fake_server(**told: object) -> Iterator[FakeServer]:
    """A running one, both of whose ports end with the block."""
    fake = FakeServer(**told)  # type: ignore[arg-type]
    by_grpc = grpc.server(ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", 64 << 20)])
    by_grpc.add_generic_rpc_handlers(_handlers(fake))
    fake.grpc_port = by_grpc.add_insecure_port("127.0.0.1:0")
    by_grpc.start()
    by_rest = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Rest", (_Rest,), {"fake": fake}))
    fake.rest_port = by_rest.server_port
    threading.Thread(target=by_rest.serve_forever, daemon=True).start()
    try:
        yield fake
    finally:
        by_rest.shutdown()
        by_rest.server_close()
        by_grpc.stop(0).wait()


def _handlers(fake: FakeServer) -> list[grpc.GenericRpcHandler]:
    def predict(request, context):
        spec = request.model_spec
        answer = message_class("PredictResponse")()
        answer.model_spec.version.value = fake.version_of(spec.version.value, spec.version_label)
        outputs = fake.run(spec.signature_name, list(request.inputs["image_bytes"].string_val), False)
        for name, array in outputs.items():
            _fill(answer.outputs[name], array)
        return answer

    def metadata(request, context):
        spec = request.model_spec
        answer = message_class("MetadataResponse")()
        answer.model_spec.version.value = fake.version_of(spec.version.value, spec.version_label)
        found = message_class("SignatureMap")()
        found.signature_def["serving_default"].inputs["image_bytes"].dtype = STRING
        answer.metadata["signature_def"].value = found.SerializeToString()
        return answer

    def status(request, context):
        answer = message_class("StatusResponse")()
        for version, state in fake.versions.items():
            answer.model_version_status.add(version=version, state={"AVAILABLE": 30, "END": 50}[state])
        return answer

    def guarded(function, request_class):
        def run(request, context):
            try:
                return function(request, context)
            except Failed as error:
                context.abort(getattr(grpc.StatusCode, error.code), error.text)

        return grpc.unary_unary_rpc_method_handler(
            run,
            request_deserializer=message_class(request_class).FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )

    return [
        grpc.method_handlers_generic_handler(
            "tensorflow.serving.PredictionService",
            {
                "Predict": guarded(predict, "PredictRequest"),
                "GetModelMetadata": guarded(metadata, "MetadataRequest"),
            },
        ),
        grpc.method_handlers_generic_handler(
            "tensorflow.serving.ModelService", {"GetModelStatus": guarded(status, "StatusRequest")}
        ),
    ]


def _fill(tensor, array: np.ndarray) -> None:
    kinds = {"f": (FLOAT, "float_val"), "b": (BOOL, "bool_val"), "O": (STRING, "string_val")}
    tensor.dtype, field_name = kinds[array.dtype.kind]
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    values = array.ravel().tolist()
    getattr(tensor, field_name).extend([one.encode() if isinstance(one, str) else one for one in values])


class _Rest(http.server.BaseHTTPRequestHandler):
    fake: FakeServer
    protocol_version = "HTTP/1.1"

    def parse_request(self):
        self.fake.peers.append(self.client_address)
        return super().parse_request()

    def do_GET(self):
        parts = self.path.split("/")[3:]
        if parts[-1] == "metadata":
            self._guarded(lambda: self._metadata(*self._asked(parts[:-1])))
        else:
            states = [
                {"version": str(version), "state": state, "status": {"error_code": "OK", "error_message": ""}}
                for version, state in self.fake.versions.items()
            ]
            self._answer(200, {"model_version_status": states})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        parts = self.path.rpartition(":")[0].split("/")[3:]

        def run():
            self.fake.version_of(*self._asked(parts))
            images = [base64.b64decode(one["b64"]) for one in body["inputs"]["image_bytes"]]
            outputs = self.fake.run(body["signature_name"], images, True)
            return {"outputs": {name: array.tolist() for name, array in outputs.items()}}

        self._guarded(run)

    def _asked(self, parts):
        kind, value = (*parts[1:], None, None)[:2]
        return (int(value) if kind == "versions" else 0), (value if kind == "labels" else "")

    def _metadata(self, version, label):
        found = {"serving_default": {"inputs": {"image_bytes": {"dtype": "DT_STRING"}}, "outputs": {}}}
        spec = {"name": "cxr_binary", "version": str(self.fake.version_of(version, label))}
        return {"model_spec": spec, "metadata": {"signature_def": {"signature_def": found}}}

    def _guarded(self, function):
        try:
            self._answer(200, function())
        except Failed as error:
            codes = {"NOT_FOUND": 404, "RESOURCE_EXHAUSTED": 429, "UNAVAILABLE": 503, "INVALID_ARGUMENT": 400}
            self._answer(codes[error.code], {"error": error.text})

    def _answer(self, code, value):
        text = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *arguments):
        """Quiet: tests read what commands print."""

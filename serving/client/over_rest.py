"""Calls by the REST API: to JSON and back, and over HTTP, waited for or awaited."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import quote

from serving.client.answers import ServedVersion, Signatures
from serving.client.calls import INPUT_NAME, At, Call, CallFailed, Described, Metadata, Outputs, Predict, Reply
from serving.client.protos import TYPE_NUMBERS

if TYPE_CHECKING:
    import httpx

#: HTTP's code -> gRPC's name of the same reason.
_CODES = {
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    412: "FAILED_PRECONDITION",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
Request = tuple[str, str, Any]
Http = TypeVar("Http")


class _OfThisProcess(Generic[Http]):
    """An HTTP client whose connections are of this process: those that a fork inherits carry its parent's answers too,
    and would give one process what another one asked."""

    def __init__(self, make: Callable[[], Http]) -> None:
        self._make, self._pid, self._client = make, os.getpid(), make()

    def client(self) -> Http:
        """The client; after a fork another one. That of the parent is let go of, and stays open there."""
        if self._pid != (pid := os.getpid()):
            self._client, self._pid = self._make(), pid
        return self._client


class RestTransport:
    """Connections, kept open, to the server at ``address`` (``http://host:port`` or ``https://...``)."""

    def __init__(self, address: str, ca_file: Path | None = None) -> None:
        import httpx

        self.address = address.rstrip("/")
        self._http = _OfThisProcess(lambda: httpx.Client(**_options(self.address, ca_file)))

    def send(self, call: Call, timeout_s: float) -> Reply:
        import httpx

        method, path, body = encoded(call)
        try:
            answer = self._http.client().request(method, self.address + path, json=body, timeout=timeout_s)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _failed(error) from None
        return decoded(call, _value(answer))

    def close(self) -> None:
        self._http.client().close()


class AsyncRestTransport:
    """As ``RestTransport``."""

    def __init__(self, address: str, ca_file: Path | None = None) -> None:
        import httpx

        self.address = address.rstrip("/")
        self._http = _OfThisProcess(lambda: httpx.AsyncClient(**_options(self.address, ca_file)))

    async def send(self, call: Call, timeout_s: float) -> Reply:
        import httpx

        method, path, body = encoded(call)
        try:
            answer = await self._http.client().request(method, self.address + path, json=body, timeout=timeout_s)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _failed(error) from None
        return decoded(call, _value(answer))

    async def close(self) -> None:
        await self._http.client().aclose()


def encoded(call: Call) -> Request:
    """Method, path and JSON body of a call."""
    if isinstance(call, Predict):
        images = [{"b64": base64.b64encode(image).decode()} for image in call.images]
        body = {"signature_name": call.signature, "inputs": {INPUT_NAME: images}}
        return "POST", f"{_path(call.model, call.at)}:predict", body
    if isinstance(call, Metadata):
        return "GET", f"{_path(call.model, call.at)}/metadata", None
    return "GET", _path(call.model, None), None


def decoded(call: Call, value: Any) -> Reply:
    """What the JSON answer to ``call`` says; ``CallFailed`` where it is no answer of a model server."""
    try:
        if isinstance(call, Predict):
            return _outputs(call, value["outputs"])
        if isinstance(call, Metadata):
            signatures = value["metadata"]["signature_def"]["signature_def"]
            return Described(int(value["model_spec"]["version"]), _signatures(signatures))
        return tuple(
            ServedVersion(int(state["version"]), state["state"], state["status"].get("error_message", ""))
            for state in value["model_version_status"]
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        text = f"expected the answer of a model server, found another ({type(error).__name__}: {error})"
        raise CallFailed("INTERNAL", text) from None


def _outputs(call: Predict, columns: dict[str, Any]) -> Outputs:
    import numpy as np

    wanted = call.outputs or tuple(columns)
    tensors = {}
    for name in wanted:
        array = np.array(columns[name])
        if array.dtype.kind == "f":
            array = array.astype(np.float32)  # as the model gave it
        elif array.dtype.kind == "U":
            array = np.vectorize(str.encode, otypes=[object])(array)
        tensors[name] = array
    return Outputs(call.at if isinstance(call.at, int) else None, tensors)


def _signatures(definitions: dict[str, Any]) -> Signatures:
    return {
        name: {
            side: {key: TYPE_NUMBERS.get(info["dtype"], 0) for key, info in (definition.get(side) or {}).items()}
            for side in ("inputs", "outputs")
        }
        for name, definition in definitions.items()
    }


def _path(model: str, at: At) -> str:
    base = f"/v1/models/{quote(model, safe='')}"
    if at is None:
        return base
    return f"{base}/versions/{at}" if isinstance(at, int) else f"{base}/labels/{quote(at, safe='')}"


def _options(address: str, ca_file: Path | None) -> dict[str, Any]:
    import ssl

    verify: ssl.SSLContext | bool = ssl.create_default_context(cafile=str(ca_file)) if ca_file else True
    if address.startswith("http://"):
        verify = False  # nothing to verify, and a context takes longer to make than an answer
    # A proxy of the environment must not see patients' images.
    return {"verify": verify, "trust_env": False}


def _failed(error: httpx.HTTPError | httpx.InvalidURL) -> CallFailed:
    import httpx

    if isinstance(error, httpx.ConnectTimeout | httpx.ReadTimeout | httpx.WriteTimeout | httpx.PoolTimeout):
        return CallFailed("DEADLINE_EXCEEDED", type(error).__name__)
    return CallFailed("UNAVAILABLE", f"{type(error).__name__}: {error}")


def _value(answer: httpx.Response) -> Any:
    """The JSON value of a good answer; ``CallFailed`` with the server's reason for another."""
    try:
        value = json.loads(answer.content)
    except ValueError:
        value = None
    if answer.is_success and value is not None:
        return value
    text = value.get("error") if isinstance(value, dict) else None
    code = _CODES.get(answer.status_code, "INTERNAL")
    if answer.is_success:
        code, text = "INTERNAL", "expected JSON, found something else; is it a model server's REST port?"
    raise CallFailed(code, str(text or f"HTTP {answer.status_code}"))

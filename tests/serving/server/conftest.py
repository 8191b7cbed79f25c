"""The recorded calls of a real server, servers of ours to replay them against, and the rules of comparison."""

from __future__ import annotations

import base64
import json
import math
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import PATIENCE_S

GOLDEN = Path(__file__).resolve().parents[4] / "shared" / "tf-serving-golden"
RELATIVE_TOLERANCE = 1e-5
SMALLEST_NORMAL = 2.3e-308


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of recorded calls beside the checkout; the test is skipped where it is absent."""
    if not GOLDEN.is_dir():
        pytest.skip(f"recorded calls of TensorFlow Serving are not here: expected the folder {GOLDEN}")
    return GOLDEN


@pytest.fixture(scope="session")
def base(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the recorded models and configs, ``$BASE`` in the configs replaced by the folder itself."""
    folder = tmp_path_factory.mktemp("base")
    shutil.copytree(golden / "models", folder / "models", copy_function=shutil.copyfile)
    (folder / "configs").mkdir()
    for source in (golden / "configs").iterdir():
        (folder / "configs" / source.name).write_text(source.read_text().replace("$BASE", str(folder)))
    (folder / "live").mkdir()
    return folder


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Gives a port of this machine that nobody listens on now."""

    def find() -> int:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            return int(listener.getsockname()[1])

    return find


@pytest.fixture(scope="module")
def serve(base: Path, free_port: Callable[[], int]) -> Iterator[Callable[..., Any]]:
    """Starts a server of ours in this process with flags whose ``$BASE`` is a folder; all end with the module."""
    running = []

    def start(flags: list[str], folder: Path = base) -> Any:
        from serving.server.flags import parse_flags
        from serving.server.server import ModelServer

        # The recorded server takes new lists of models from anyone.
        own = [f"--port={free_port()}", f"--rest_api_port={free_port()}", "--shutdown_grace_seconds=0"]
        own.append("--enable_reload_over_tcp=true")
        given = [flag.replace("$BASE", str(folder)) for flag in flags]
        server = ModelServer(parse_flags([*own, *given]).options)
        server.start()
        running.append(server)
        return server

    yield start
    for server in running:
        end(server)


def end(server: Any) -> None:
    """Ends a server and, as its process does not end with it, the models that it holds and the runs that go on."""
    server.stop()
    for versions in server.core.manager.serving.values():
        for servable in versions.values():
            servable.model.close()


@pytest.fixture(scope="module")
def setup_server(golden: Path, serve: Callable[..., Any]) -> Callable[[str], Any]:
    """Gives the running server of a recorded setup; started at its first use."""
    setups = json.loads((golden / "setups.json").read_text())
    running: dict[str, Any] = {}

    def of(setup: str) -> Any:
        if setup not in running:
            running[setup] = serve(setups[setup]["flags"])
        return running[setup]

    return of


@pytest.fixture(scope="session")
def call() -> Iterator[Callable[..., tuple[str, str, bytes | None]]]:
    """Sends raw bytes to a server's method and gives (code, message, raw answer)."""
    import grpc

    channels: dict[int, Any] = {}

    def send(
        server: Any, service: str, method: str, request: bytes, timeout_s: float = PATIENCE_S
    ) -> tuple[str, str, bytes | None]:
        port = server.options.port
        if port not in channels:
            channels[port] = grpc.insecure_channel(f"127.0.0.1:{port}")
        try:
            answer = channels[port].unary_unary(f"/{service}/{method}")(request, timeout=timeout_s)
        except grpc.RpcError as error:
            return error.code().name, error.details(), None
        return "OK", "", answer

    yield send
    for channel in channels.values():
        channel.close()


@pytest.fixture(scope="session")
def differences(base: Path) -> Callable[..., str]:
    """Says how an answer differs from a recorded one under the recording's rules; empty where it does not."""

    def compare(record: dict[str, Any], code: str, message: str, answer: bytes | None, folder: Path = base) -> str:
        if code != record["code"]:
            return f"code {code} ({message!r}) instead of {record['code']} ({record['message']!r})"
        said = message.replace(str(folder), "$BASE")
        if record["match"] == "exact" and said != record["message"]:
            return f"message {said!r} instead of {record['message']!r}"
        if record["match"] == "prefix" and not said.startswith(record["prefix"]):
            return f"message {said!r} instead of one that starts with {record['prefix']!r}"
        if record["response"] is None or code != "OK":
            return ""
        expected = base64.b64decode(record["response"])
        parse = _parsers().get(record["method"])
        if parse is None:
            return "" if answer == expected else f"bytes {answer!r} instead of {expected!r}"
        return unequal(plain(parse(answer)), plain(parse(expected)), "")

    return compare


def _parsers() -> dict[str, Callable[[bytes], Any]]:
    from tensorflow_serving.apis import (
        classification_pb2,
        get_model_metadata_pb2,
        get_model_status_pb2,
        inference_pb2,
        model_management_pb2,
        predict_pb2,
        regression_pb2,
    )

    return {
        "Predict": predict_pb2.PredictResponse.FromString,
        "Classify": classification_pb2.ClassificationResponse.FromString,
        "Regress": regression_pb2.RegressionResponse.FromString,
        "MultiInference": inference_pb2.MultiInferenceResponse.FromString,
        "GetModelMetadata": get_model_metadata_pb2.GetModelMetadataResponse.FromString,
        "GetModelStatus": get_model_status_pb2.GetModelStatusResponse.FromString,
        "HandleReloadConfigRequest": model_management_pb2.ReloadConfigResponse.FromString,
    }


def plain(message: Any) -> Any:
    """A proto as dicts and lists of its set fields; a packed SignatureDefMap is unpacked, maps have no order."""
    from google.protobuf.any_pb2 import Any as AnyProto
    from google.protobuf.message import Message

    if isinstance(message, AnyProto):
        from tensorflow_serving.apis import get_model_metadata_pb2

        unpacked = get_model_metadata_pb2.SignatureDefMap()
        assert message.Unpack(unpacked), message.type_url
        return {"type_url": message.type_url, "value": plain(unpacked)}
    fields: dict[str, Any] = {}
    for field, value in message.ListFields():
        if hasattr(value, "items"):
            fields[field.name] = {key: plain(one) if isinstance(one, Message) else one for key, one in value.items()}
        elif isinstance(value, Message):
            fields[field.name] = plain(value)
        elif not isinstance(value, (str, bytes)) and hasattr(value, "__len__"):
            fields[field.name] = [plain(one) if isinstance(one, Message) else one for one in value]
        else:
            fields[field.name] = value
    return fields


@pytest.fixture(scope="session", name="unequal")
def unequal_fixture() -> Callable[[Any, Any, str], str]:
    """Says where two plain values first differ; empty where they do not."""
    return unequal


def unequal(got: Any, expected: Any, where: str) -> str:
    """Where ``got`` first differs from ``expected``: floats within 1e-5 relative, NaN equals NaN."""
    if isinstance(expected, dict) and isinstance(got, dict):
        if got.keys() != expected.keys():
            return f"{where}: {sorted(got)} instead of {sorted(expected)}"
        pairs = [(got[key], expected[key], f"{where}.{key}") for key in expected]
    elif isinstance(expected, list) and isinstance(got, list):
        if len(got) != len(expected):
            return f"{where}: {len(got)} values instead of {len(expected)}"
        pairs = [(one, other, f"{where}[{i}]") for i, (one, other) in enumerate(zip(got, expected, strict=True))]
    elif isinstance(expected, float) and isinstance(got, (int, float)):
        same = math.isclose(got, expected, rel_tol=RELATIVE_TOLERANCE, abs_tol=SMALLEST_NORMAL) or (
            math.isnan(got) and math.isnan(expected)
        )
        return "" if same else f"{where}: {got!r} instead of {expected!r}"
    else:
        return "" if got == expected else f"{where}: {got!r} instead of {expected!r}"
    return next((found for one, other, at in pairs if (found := unequal(one, other, at))), "")

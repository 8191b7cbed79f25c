"""A model server under attack: watched, asked by another client meanwhile, and ended where it grows too large."""

from __future__ import annotations

import contextlib
import http.client
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import psutil

from serving.check.server_process import free_port

MOST_MIB = 6000
PREDICT = "/tensorflow.serving.PredictionService/Predict"


@dataclass(slots=True)
class Served:
    """A server under test, the worst answer time of the client beside the attack, and the most memory it used."""

    process: subprocess.Popen
    port: int
    rest_port: int
    log: Path
    worst_s: float = 0.0
    n_answers: int = 0
    n_refused: int = 0
    peak_mib: float = 0.0
    was_ended: bool = False
    is_over: threading.Event = field(default_factory=threading.Event)

    def memory_mib(self) -> float:
        try:
            return psutil.Process(self.process.pid).memory_info().rss / 2**20
        except psutil.Error:
            return 0.0


def toy_request(signature: str = "", **inputs: object) -> bytes:
    """A serialized Predict request of the model ``toy``, or of ``slow`` where the signature says so."""
    from tensorflow.core.framework import tensor_pb2
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = "slow" if signature == "slow" else "toy"
    request.model_spec.signature_name = "" if signature == "slow" else signature
    for name, value in (inputs or {"x": [1.0, 2.0, 3.0]}).items():
        if isinstance(value, tensor_pb2.TensorProto):
            request.inputs[name].CopyFrom(value)
        else:
            request.inputs[name].dtype = 1
            request.inputs[name].tensor_shape.dim.add().size = len(value) // 3  # type: ignore[arg-type]
            request.inputs[name].tensor_shape.dim.add().size = 3
            request.inputs[name].float_val.extend(value)  # type: ignore[arg-type]
    return request.SerializeToString()


@contextlib.contextmanager
def server(scratch: Path, *flags: str) -> Iterator[Served]:
    """A server of the recorded models, watched and asked by another client until the block ends."""
    port, rest_port = free_port(), free_port()
    config = scratch / "models.config"
    config.write_text(
        "model_config_list {"
        + "".join(
            f'config {{ name: "{name}" base_path: "{scratch / "models" / name}" model_platform: "tensorflow" }}'
            for name in ("toy", "slow")
        )
        + "}"
    )
    command = [sys.executable, "-m", "serving.server", f"--port={port}", f"--rest_api_port={rest_port}"]
    command += [f"--model_config_file={config}", "--grpc_max_threads=64", *flags]
    log = scratch / "server.log"
    with open(log, "wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    served = Served(process, port, rest_port, log)
    watchers = [threading.Thread(target=watch, args=(served,)) for watch in (_ask, _watch)]
    try:
        _wait_open(served)
        for watcher in watchers:
            watcher.start()
        yield served
    finally:
        served.is_over.set()
        for watcher in watchers:
            watcher.join()
        process.kill()
        process.wait()


def _wait_open(served: Served) -> None:
    end = time.monotonic() + 240
    while time.monotonic() < end and served.process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", served.rest_port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError(f"no server: {served.log.read_text()[-2000:]}")


def _watch(served: Served) -> None:
    while not served.is_over.wait(0.02):
        served.peak_mib = max(served.peak_mib, served.memory_mib())
        if served.peak_mib > MOST_MIB:
            served.was_ended = True
            served.process.kill()
            return


def _ask(served: Served) -> None:
    """A client that means no harm: one small request at a time, each answer timed."""
    request = toy_request()
    with grpc.insecure_channel(f"127.0.0.1:{served.port}") as channel:
        call = channel.unary_unary(PREDICT)
        while not served.is_over.is_set():
            begin = time.monotonic()
            asking = call.future(request, timeout=90)
            while not asking.done() and not served.is_over.is_set():
                served.worst_s = max(served.worst_s, time.monotonic() - begin)
                time.sleep(0.002)
            if asking.done():
                if asking.code() is grpc.StatusCode.OK:
                    served.n_answers += 1
                else:
                    served.n_refused += 1
            time.sleep(0.02)


def post(served: Served, body: bytes, path: str = "/v1/models/toy:predict", **headers: str) -> tuple[int, float, bytes]:
    """Status (0: cut off), seconds and answer of one REST request."""
    begin = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", served.rest_port, timeout=120)
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, time.monotonic() - begin, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, time.monotonic() - begin, b""
    finally:
        connection.close()


def opened(served: Served, n: int, begin: bytes) -> list[socket.socket]:
    """``n`` connections to the REST port, each of which has sent ``begin``."""
    made = []
    for _ in range(n):
        connection = socket.create_connection(("127.0.0.1", served.rest_port), timeout=30)
        # Refused before all was sent is an answer too.
        with contextlib.suppress(OSError):
            connection.sendall(begin)
        made.append(connection)
    return made


def _closed(connection: socket.socket) -> bool:
    """Whether the server has ended ``connection``, or answered that it is not taken."""
    connection.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        try:
            return not (received := connection.recv(1 << 16)) or received.startswith((b"HTTP/1.1 408", b"HTTP/1.1 503"))
        except ConnectionError:
            return True
    return False


def all_closed_after(connections: list[socket.socket], most_s: float, drip: bytes = b"") -> str:
    """Seconds until the server has ended all of them while they send ``drip`` every two seconds."""
    begin, last = time.monotonic(), 0.0
    left = list(connections)
    while left and time.monotonic() - begin < most_s:
        if drip and time.monotonic() - last > 2:
            last = time.monotonic()
            for connection in left:
                with contextlib.suppress(OSError):
                    connection.send(drip)
        left = [connection for connection in left if not _closed(connection)]
        time.sleep(0.1)
    return (
        f"{len(left)} of {len(connections)} open after {time.monotonic() - begin:.0f} s"
        if left
        else (f"all ended after {time.monotonic() - begin:.0f} s")
    )


def sent(served: Served, request: bytes, timeout_s: float = 60) -> str:
    """What came of one gRPC request, and after how many seconds."""
    begin = time.monotonic()
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{served.port}", options) as channel:
        try:
            channel.unary_unary(PREDICT)(request, timeout=timeout_s)
            said = "OK"
        except grpc.RpcError as error:
            said = f"{error.code().name} {str(error.details())[:70]}"
    return f"{said} after {time.monotonic() - begin:.1f} s"


def time_to_rest(served: Served) -> str:
    """Seconds until the server has come to rest: no more than a tenth of a core."""
    begin, process = time.monotonic(), psutil.Process(served.process.pid)
    process.cpu_percent()
    while time.monotonic() - begin < 90:
        time.sleep(1)
        if process.cpu_percent() < 15:
            break
    return f"at rest {time.monotonic() - begin:.0f} s after"

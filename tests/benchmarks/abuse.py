"""The model server under abuse: what each attack costs in memory, and how long another client waits meanwhile.

``python -m tests.benchmarks.abuse [NAME...]`` starts a server of its own for each attack and prints one row for it. A
server that grows beyond ``MOST_MIB`` is ended and said to have been.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import psutil

from serving.check.server_process import free_port

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "tf-serving-golden"
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
    watchers = [threading.Thread(target=one, args=(served,)) for one in (_ask, _watch)]
    try:
        _wait_open(served)
        for one in watchers:
            one.start()
        yield served
    finally:
        served.is_over.set()
        for one in watchers:
            one.join()
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
        one = socket.create_connection(("127.0.0.1", served.rest_port), timeout=30)
        # Refused before all was sent is an answer too.
        with contextlib.suppress(OSError):
            one.sendall(begin)
        made.append(one)
    return made


def _closed(one: socket.socket) -> bool:
    """Whether the server has ended ``one``, or answered that it is not taken."""
    one.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        try:
            return not (received := one.recv(1 << 16)) or received.startswith((b"HTTP/1.1 408", b"HTTP/1.1 503"))
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
            for one in left:
                with contextlib.suppress(OSError):
                    one.send(drip)
        left = [one for one in left if not _closed(one)]
        time.sleep(0.1)
    return (
        f"{len(left)} of {len(connections)} open after {time.monotonic() - begin:.0f} s"
        if left
        else (f"all ended after {time.monotonic() - begin:.0f} s")
    )


def fill(served: Served) -> str:
    """One string that stands for 2^29 of them."""
    from tensorflow.core.framework import tensor_pb2

    one = tensor_pb2.TensorProto(dtype=7, string_val=[b"a"])
    one.tensor_shape.dim.add().size = 2**29
    return _sent(served, toy_request("text", t=one))


def _sent(served: Served, request: bytes, timeout_s: float = 60) -> str:
    begin = time.monotonic()
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{served.port}", options) as channel:
        try:
            channel.unary_unary(PREDICT)(request, timeout=timeout_s)
            said = "OK"
        except grpc.RpcError as error:
            said = f"{error.code().name} {str(error.details())[:70]}"
    return f"{said} after {time.monotonic() - begin:.1f} s"


SLOW = [20_000.0, 0.0, 0.0]


def give_up(served: Served) -> str:
    """70 clients at once with long runs, who give up after half a second; three times."""
    request = toy_request("slow", x=SLOW)
    for _ in range(3):
        with ThreadPoolExecutor(70) as pool:
            list(pool.map(lambda _: _sent(served, request, 0.5), range(70)))
    time.sleep(3)
    return _idle(served)


def _idle(served: Served) -> str:
    """Seconds until the server has come to rest: no more than a tenth of a core."""
    begin, process = time.monotonic(), psutil.Process(served.process.pid)
    process.cpu_percent()
    while time.monotonic() - begin < 90:
        time.sleep(1)
        if process.cpu_percent() < 15:
            break
    return f"at rest {time.monotonic() - begin:.0f} s after"


def deadline(served: Served) -> str:
    """One run of a minute whose client gives it half a second."""
    return _sent(served, toy_request("slow", x=[400_000.0, 0.0, 0.0]), 0.5) + ", " + _idle(served)


def bodies(served: Served) -> str:
    """30 bodies of 60 MB, each one byte short."""
    n_bytes = 60_000_000
    head = f"POST /v1/models/toy:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {n_bytes}\r\n\r\n".encode()
    with ThreadPoolExecutor(30) as pool:
        held = [
            one
            for made in pool.map(lambda _: opened(served, 1, head + b" " * (n_bytes - 1)), range(30))
            for one in made
        ]
    return all_closed_after(held, 45)


def slow_headers(served: Served) -> str:
    """200 connections whose headers come byte by byte."""
    return all_closed_after(opened(served, 200, b"POST /v1/models/toy:predict HTTP/1.1\r\nX: "), 50, b"a")


def slow_bodies(served: Served) -> str:
    """200 connections whose bodies come byte by byte."""
    head = b"POST /v1/models/toy:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
    return all_closed_after(opened(served, 200, head), 50, b" ")


def idle(served: Served) -> str:
    """3,000 connections that say nothing."""
    connections = opened(served, 3000, b"")
    time.sleep(2)
    n_threads = psutil.Process(served.process.pid).num_threads()
    status, seconds, _ = post(served, b'{"instances": [[1, 2, 3]]}')
    for one in connections:
        one.close()
    return f"{n_threads} threads, another REST client: {status} after {seconds:.2f} s"


def nested(served: Served) -> str:
    """JSON nested 950 deep, with objects and with arrays, around 20 MB of text."""
    text = '"' + "a" * 20_000_000 + '"'
    objects = '{"inputs": ' + '{"a":' * 950 + text + "}" * 950 + ', "instances": 1}'
    arrays = '{"instances": ' + "[" * 950 + text + "]" * 950 + ', "inputs": 1}'
    return _times(served, objects, arrays)


def _times(served: Served, *documents: str) -> str:
    answers = [post(served, one.encode()) for one in documents]
    return "; ".join(f"{status} after {seconds:.2f} s" for status, seconds, _ in answers)


def error_texts(served: Served) -> str:
    """Documents of 30 MB that are refused: their error shows the document."""
    numbers = ", ".join(["1"] * 10_000_000)
    return _times(
        served,
        f'{{"instances": {{"x": [{numbers}]}}}}',  # is not a list
        f'{{"instances": [[{numbers}], "a"',  # is not whole
        '{"instances": ["' + "\\ud800" * 5_000_000 + '"]}',
    )


def numbers(served: Served) -> str:
    """Ten documents of a million numbers."""
    body = json.dumps({"signature_name": "var", "inputs": [[i + 0.5 for i in range(1000)]] * 1000}).encode()
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: post(served, body), range(10)))
    return f"{ {status for status, _, _ in found} } in {max(seconds for _, seconds, _ in found):.1f} s at most"


def terminated(served: Served) -> str:
    """SIGTERM while a run of some seconds goes on, by gRPC and by REST."""
    n = 60_000.0
    with ThreadPoolExecutor(2) as pool:
        by_grpc = pool.submit(_sent, served, toy_request("slow", x=[n, 0.0, 0.0]))
        by_rest = pool.submit(post, served, json.dumps({"instances": [[n, 0, 0]]}).encode(), "/v1/models/slow:predict")
        time.sleep(1)
        served.is_over.set()
        served.process.send_signal(signal.SIGTERM)
        begin = time.monotonic()
        code = served.process.wait(60)
        return (
            f"{by_grpc.result()}; REST {by_rest.result()[0]}; ended with {code} after {time.monotonic() - begin:.1f} s"
        )


def malformed(served: Served) -> str:
    """2,000 requests that are no protos."""
    with grpc.insecure_channel(f"127.0.0.1:{served.port}") as channel:
        call = channel.unary_unary(PREDICT)
        for _ in range(2000):
            with contextlib.suppress(grpc.RpcError):
                call(b"\xff" * 200, timeout=20)
    return f"{len(served.log.read_bytes().splitlines())} lines of log"


def foreign(served: Served) -> str:
    """A page of another site (its name made to point here), and a list of models from anyone."""
    from tensorflow_serving.apis import model_management_pb2

    status, _, _ = post(served, b'{"instances": [[1, 2, 3]]}', Host="evil.example")
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.SetInParent()
    with grpc.insecure_channel(f"127.0.0.1:{served.port}") as channel:
        try:
            channel.unary_unary("/tensorflow.serving.ModelService/HandleReloadConfigRequest")(
                request.SerializeToString(), timeout=20
            )
            said = "OK: all models are gone"
        except grpc.RpcError as error:
            said = error.code().name
    return f"Host evil.example: {status}; empty list of models: {said}"


ATTACKS: dict[str, Callable[[Served], str]] = {
    one.__name__: one
    for one in (
        fill,
        give_up,
        deadline,
        bodies,
        slow_headers,
        slow_bodies,
        idle,
        nested,
        error_texts,
        numbers,
        terminated,
        malformed,
        foreign,
    )
}


def main(names: list[str]) -> None:
    print("| attack | peak MiB (at rest) | others wait s | what came of it |\n|---|---|---|---|")
    for name in names or list(ATTACKS):
        with tempfile.TemporaryDirectory() as folder:
            scratch = Path(folder)
            for model in ("toy", "slow"):
                shutil.copytree(GOLDEN / "models" / model, scratch / "models" / model, copy_function=shutil.copyfile)
            with server(scratch) as served:
                time.sleep(2)
                before, served.worst_s, served.peak_mib = served.memory_mib(), 0.0, 0.0
                try:
                    said = ATTACKS[name](served)
                except (OSError, psutil.Error) as error:
                    said = f"broke: {error!r}"
                said += " (ended: too much memory)" if served.was_ended else ""
                row = f"| {name} | {served.peak_mib:.0f} ({before:.0f}) | {served.worst_s:.2f} | {said} |"
        print(row, flush=True)


if __name__ == "__main__":
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main(sys.argv[1:])

"""The model server under abuse: what each attack costs in memory, and how long another client waits meanwhile.

``python -m tests.benchmarks.abuse [NAME...]`` starts a server of its own for each attack and prints one row for it. A
server that grows beyond ``abused_server.MOST_MIB`` is ended and said to have been.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import psutil

from tests.benchmarks.abused_server import (
    PREDICT,
    Served,
    all_closed_after,
    opened,
    post,
    sent,
    server,
    time_to_rest,
    toy_request,
)

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "tf-serving-golden"


def fill(served: Served) -> str:
    """One string that stands for 2^29 of them."""
    from tensorflow.core.framework import tensor_pb2

    text = tensor_pb2.TensorProto(dtype=7, string_val=[b"a"])
    text.tensor_shape.dim.add().size = 2**29
    return sent(served, toy_request("text", t=text))


SLOW = [20_000.0, 0.0, 0.0]


def give_up(served: Served) -> str:
    """70 clients at once with long runs, who give up after half a second; three times."""
    request = toy_request("slow", x=SLOW)
    for _ in range(3):
        with ThreadPoolExecutor(70) as pool:
            list(pool.map(lambda _: sent(served, request, 0.5), range(70)))
    time.sleep(3)
    return time_to_rest(served)


def deadline(served: Served) -> str:
    """One run of a minute whose client gives it half a second."""
    return sent(served, toy_request("slow", x=[400_000.0, 0.0, 0.0]), 0.5) + ", " + time_to_rest(served)


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
        by_grpc = pool.submit(sent, served, toy_request("slow", x=[n, 0.0, 0.0]))
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
    attack.__name__: attack
    for attack in (
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

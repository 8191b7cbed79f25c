"""Clients that wait too long, send too slowly, or are gone: what they held is given back, and others are answered."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.waiting import PATIENCE_S, wait_until

pytestmark = [pytest.mark.serving, pytest.mark.tf]

PREDICTION = "tensorflow.serving.PredictionService"
#: Products of matrices in one run of the model ``slow``: half a minute of two cores.
HALF_A_MINUTE = 400_000
A_MOMENT = 20_000


@pytest.fixture(scope="module")
def server(base, serve):
    """A REST request may take two seconds."""
    return serve(
        [
            f"--model_config_file={base}/configs/batching.config",
            "--grpc_max_threads=64",
            "--rest_api_timeout_in_ms=2000",
            "--max_connections=40",
        ]
    )


def slow(n_products: int) -> bytes:
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = "slow"
    request.inputs["x"].dtype = 1
    for size in (1, 3):
        request.inputs["x"].tensor_shape.dim.add().size = size
    request.inputs["x"].float_val.extend([n_products, 0, 0])
    return request.SerializeToString()


def quick() -> bytes:
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest.FromString(slow(1))
    request.model_spec.name = "toy"
    return request.SerializeToString()


def n_runs(server) -> int:
    """Calls that wait or run in the server, seen from within."""
    return server._front._gate.n_held


def test_run_ends_with_the_deadline_of_its_client(base):
    import numpy as np

    from serving.server.loading.models import LoadedModel, LoadOptions
    from serving.server.run.runner import Patience
    from serving.server.status import StatusError

    model = LoadedModel(base / "models" / "slow" / "1", LoadOptions())
    signature = model.signatures["serving_default"]
    feeds, fetches = [signature.inputs["x"].name], [signature.outputs["y"].name]
    n_products = np.array([[HALF_A_MINUTE, 0, 0]], np.float32)
    with pytest.raises(StatusError) as ended:
        model.run(feeds, [n_products], fetches, Patience(time.monotonic() + 0.3))
    assert ended.value.code.name == "DEADLINE_EXCEEDED"
    model.close()


def test_seventy_clients_that_give_up_leave_nothing_behind(server, call):
    request = slow(HALF_A_MINUTE)
    with ThreadPoolExecutor(70) as pool:
        codes = set(pool.map(lambda _: call(server, PREDICTION, "Predict", request, 0.5)[0], range(70)))
    # There are 63 turns; on a busy machine the last to come may find one that was given back.
    assert {"DEADLINE_EXCEEDED"} <= codes <= {"DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"}
    assert call(server, PREDICTION, "Predict", quick(), PATIENCE_S)[0] == "OK"
    wait_until(lambda: not n_runs(server), "runs go on though nobody waits for them")


def test_rest_client_that_is_gone_and_one_out_of_time(server):
    body = json.dumps({"instances": [[HALF_A_MINUTE, 0, 0]]})
    gone = http.client.HTTPConnection("127.0.0.1", server.options.rest_api_port, timeout=PATIENCE_S)
    gone.request("POST", "/v1/models/slow:predict", body)
    wait_until(lambda: n_runs(server), "it never ran")
    gone.close()
    wait_until(lambda: not n_runs(server), "its turn is not given back")
    waits = http.client.HTTPConnection("127.0.0.1", server.options.rest_api_port, timeout=PATIENCE_S)
    waits.request("POST", "/v1/models/slow:predict", body)
    answer = waits.getresponse()
    assert (answer.status, json.loads(answer.read())["error"]) == (504, "The request took longer than 2 s")
    waits.close()


@pytest.mark.parametrize(
    "begin",
    [
        b"",
        b"POST /v1/models/toy:predict HTTP/1.1\r\nHost: localhost\r\nX: ",
        b"POST /v1/models/toy:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n",
        b"POST /v1/models/toy:predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n",
    ],
    ids=["nothing", "head", "body", "chunk"],
)
def test_request_that_comes_byte_by_byte_is_ended(server, begin):
    with socket.create_connection(("127.0.0.1", server.options.rest_api_port), timeout=0.2) as one:
        one.sendall(begin)
        received = drip(one, b"a" if begin else b"")
    assert received.startswith(b"HTTP/1.1 408 ")


def drip(one: socket.socket, byte: bytes) -> bytes:
    """What the server says to a client that sends ``byte`` for as long as it may."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        try:
            one.sendall(byte)
            return one.recv(1000)
        except TimeoutError:
            continue
    raise AssertionError("the server never said a word")


def test_head_without_end_is_refused(server):
    with socket.create_connection(("127.0.0.1", server.options.rest_api_port), timeout=PATIENCE_S) as one:
        one.sendall(b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000)
        assert one.recv(1000).startswith(b"HTTP/1.1 431 ")


def test_connections_cost_no_threads_and_the_oldest_makes_room(server):
    before = threading.active_count()
    held = [socket.create_connection(("127.0.0.1", server.options.rest_api_port), timeout=60) for _ in range(41)]
    assert held[0].recv(100).startswith(b"HTTP/1.1 503 ")
    last = held[-1]
    last.sendall(b"GET /v1/models/toy HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert last.recv(100).startswith(b"HTTP/1.1 200 ")
    # The threads that look models up are few and stay.
    assert threading.active_count() < before + 35
    for one in held:
        one.close()


def test_requests_by_grpc_that_never_come_hold_no_turn(server, call):
    import grpc

    with grpc.insecure_channel(f"127.0.0.1:{server.options.port}") as channel:
        begun = threading.Event()

        def never():
            begun.wait()
            yield b""

        waiting = [channel.stream_unary(f"/{PREDICTION}/Predict").future(never(), timeout=60) for _ in range(80)]
        assert call(server, PREDICTION, "Predict", quick(), PATIENCE_S)[0] == "OK"
        for one in waiting:
            one.cancel()
        begun.set()


def test_stop_waits_for_what_runs_and_takes_nothing_new(base, serve, call):
    own = serve([f"--model_config_file={base}/configs/batching.config", f"--shutdown_grace_seconds={PATIENCE_S:.0f}"])
    body = json.dumps({"instances": [[A_MOMENT, 0, 0]]})
    connection = http.client.HTTPConnection("127.0.0.1", own.options.rest_api_port, timeout=PATIENCE_S)
    with ThreadPoolExecutor(2) as pool:
        by_grpc = pool.submit(call, own, PREDICTION, "Predict", slow(A_MOMENT), PATIENCE_S)
        connection.request("POST", "/v1/models/slow:predict", body)
        wait_until(lambda: n_runs(own) == 2, "they never ran")
        own.stop()
        assert by_grpc.result()[0] == "OK"
        assert connection.getresponse().status == 200
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", own.options.rest_api_port)) != 0


def test_task_whose_client_is_gone_is_left_out_of_its_batch():
    import numpy as np

    from serving.server.batching.batch_config import BatchLimits
    from serving.server.batching.batching import BatchingRunner, BatchScheduler
    from serving.server.metrics import Metrics
    from serving.server.run.runner import Patience
    from serving.server.status import StatusError

    sizes = []

    class Model:
        def run(self, feeds, arrays, fetches, patience):
            sizes.append(len(arrays[0]))
            return [arrays[0]]

    scheduler = BatchScheduler(1, Metrics())
    runner = BatchingRunner("m", Model(), BatchLimits(max_batch_size=2, timeout_s=60), scheduler)
    gone = Patience()
    gone.give_up()
    row = np.zeros((1, 3), np.float32)
    with ThreadPoolExecutor(2) as pool:
        lost = pool.submit(runner.run, ["x"], [row], ["y"], gone)
        kept = pool.submit(runner.run, ["x"], [row], ["y"])
        assert len(kept.result()[0]) == 1
        with pytest.raises(StatusError, match="timeout exceeded while waiting in batching queue"):
            lost.result()
    scheduler.stop()
    assert sizes == [1]

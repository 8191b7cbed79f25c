"""The served model over gRPC, from its own server process, against the same SavedModel called in this process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cxr_tasks.contracts.recipes import load_recipe
from cxr_tasks.contracts.serving_contract import FindingDecision, ServingContract
from tests.benchmarks.data import RECIPE, records_below
from tests.benchmarks.measure import Row, Setting, compare, in_turns

if TYPE_CHECKING:
    from serving.client import CxrClient

N_CLIENTS = 8
N_IMAGES = 64
LOAD_LIMIT_S = 180.0
REAL_SERVER = "tensorflow_model_server"

#: One image file in, probabilities out.
Call = Callable[[bytes], np.ndarray]


def run(setting: Setting) -> list[Row]:
    from serving.check.server_process import model_server
    from serving.client import CxrClient
    from serving.client.running import wait_loaded

    contract = untrained_contract()
    folder = export(contract, setting.scratch / "served" / contract.model_name / "1")
    images = [
        (setting.data_root / record.image_id).read_bytes() for record in records_below(setting.data_root)[:N_IMAGES]
    ]
    in_process = in_process_call(folder)
    n_requests = 16 if setting.is_quick else 128
    with ExitStack() as stack:
        server = stack.enter_context(model_server(contract.model_name, folder.parent, setting.scratch / "server.log"))
        clients = [stack.enter_context(CxrClient(server.address)) for _ in range(N_CLIENTS)]
        wait_loaded(clients[0], contract.model_name, 1, LOAD_LIMIT_S, require_alive=server.require_alive)
        served = [ServedCall(client, contract.model_name) for client in clients]
        require_same_answers(served[0], in_process, images)
        sides = {
            "served ms": lambda: latency_ms(served[0], images, n_requests),
            "in process ms": lambda: latency_ms(in_process, images, n_requests),
            "served/s": lambda: throughput(served, images, n_requests),
            "in process/s": lambda: throughput([in_process] * N_CLIENTS, images, n_requests),
        }
        found = in_turns(sides, setting.repetitions)
        server_name = REAL_SERVER if REAL_SERVER in str(server.process.args) else "the embedded server"
    return [
        compare(
            "serving: latency",
            ours=found["served ms"],
            baseline=found["in process ms"],
            unit="ms",
            less_is_better=True,
            ours_is=f"one image's bytes by gRPC to {server_name}, one client, median of {n_requests}",
            baseline_is="the same SavedModel's signature called in process, same bytes, one thread",
        ),
        compare(
            "serving: throughput",
            ours=found["served/s"],
            baseline=found["in process/s"],
            unit="req/s",
            ours_is=f"the same with {N_CLIENTS} clients at once, each a request at a time, sent again where the "
            "server's threads were taken",
            baseline_is=f"the signature called in process from {N_CLIENTS} threads at once",
        ),
    ]


class ServedCall:
    """A request to the server; where its threads are all taken, as the eighth of 2 cores finds them, it comes again."""

    def __init__(self, client: CxrClient, model_name: str):
        self._client, self._model_name = client, model_name

    def __call__(self, image: bytes) -> np.ndarray:
        return self._client.outputs(self._model_name, [image], at=None)[1]["probabilities"]


def untrained_contract() -> ServingContract:
    return ServingContract(
        model_name="cxr_binary",
        pixels=load_recipe(RECIPE).pixels,
        decisions=(FindingDecision(finding="pneumonia", a=1.0, b=0.0, threshold=0.5),),
        dataset="none",
        dataset_fingerprint="0" * 64,
        recipe=RECIPE,
        recipe_sha256=load_recipe(RECIPE).sha256,
    )


def export(contract: ServingContract, folder: Path) -> Path:
    """An untrained network of the recipe as the version folder ``folder``: what it says is no matter, its work is."""
    from cxr_tasks.train.networks.networks import build_network
    from serving.export.saved_model import export_saved_model

    spec = load_recipe(RECIPE).train
    network = build_network(
        spec.network,
        size_px=contract.pixels.size_px,
        n_findings=len(contract.findings),
        options=spec.network_options,
        seed=spec.seed,
    )
    folder.parent.mkdir(parents=True)
    return export_saved_model(network, contract, folder)


def in_process_call(folder: Path) -> Call:
    """The signature ``serving_default`` of the SavedModel, as TensorFlow itself calls it."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder))
    signature = loaded.signatures["serving_default"]

    def call(image: bytes) -> np.ndarray:
        outputs = signature(image_bytes=tf.constant([image]))
        return {name: tensor.numpy() for name, tensor in outputs.items()}["probabilities"]

    # The signature does not keep what it was loaded with alive.
    call.loaded = loaded  # type: ignore[attr-defined]
    return call


def require_same_answers(served: Call, in_process: Call, images: list[bytes]) -> None:
    """A ``ReleaseRefused`` where the two sides do not do the same work."""
    from cxr_tasks.contracts.errors import ReleaseRefused
    from serving.check.check import PARITY_TOLERANCE

    difference = max(float(np.abs(served(one) - in_process(one)).max()) for one in images[:8])
    if difference > PARITY_TOLERANCE:
        raise ReleaseRefused(
            f"served and in-process probabilities: expected a difference of at most {PARITY_TOLERANCE}, found "
            f"{difference:.2g}; the two sides cannot be compared"
        )


def latency_ms(call: Call, images: list[bytes], n_requests: int) -> float:
    """Median time of one request, milliseconds."""
    times = []
    for number in range(n_requests):
        started = time.perf_counter()
        call(images[number % len(images)])
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e3


def throughput(calls: Sequence[Call], images: list[bytes], n_requests: int) -> float:
    """Requests per second of all ``calls`` at once, each in a thread of its own; ``n_requests`` in all."""
    each = n_requests // len(calls)

    def work(call: Call, first: int) -> None:
        for number in range(first, first + each):
            call(images[number % len(images)])

    with ThreadPoolExecutor(len(calls)) as pool:
        started = time.perf_counter()
        for done in [pool.submit(work, call, place * each) for place, call in enumerate(calls)]:
            done.result()
        return each * len(calls) / (time.perf_counter() - started)

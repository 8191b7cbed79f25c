"""The exported network against a plain export of the same Keras model, both in one server, asked by turns."""

from __future__ import annotations

import dataclasses
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cxr_tasks.contracts.recipes import load_recipe
from cxr_tasks.contracts.serving_contract import FindingDecision, ServingContract
from cxr_tasks.installation.processor import has_bf16_units
from tests.benchmarks.data import records_below
from tests.benchmarks.measure import Row, Setting, compare, in_turns

if TYPE_CHECKING:
    import keras

N_CLIENTS = 8
N_IMAGES = 32
LOAD_LIMIT_S = 300.0
#: Recipe -> how many times the throughput at 8 clients, and of the median at one client, is wanted.
GOALS = {"kermany_cnn": (1.3, None), "nih_densenet121": (1.6, 1 / 0.7)}


def run(setting: Setting) -> list[Row]:
    rows = []
    for recipe, (throughput_goal, latency_goal) in GOALS.items():
        rows += _compared(setting, recipe, throughput_goal, latency_goal)
    return rows


def _compared(setting: Setting, recipe: str, throughput_goal: float, latency_goal: float | None) -> list[Row]:
    from serving.check.server_process import configured_server, server_executable
    from serving.served.batching import JOINED, write_batching_parameters
    from serving.served.models_config import ListedModel, config_text

    folder = setting.scratch / recipe
    model, contract = network_of(recipe)
    precision = "mixed_bfloat16" if has_bf16_units() else "float32"
    listed = []
    for name in ("ours", "plain"):
        (folder / name).mkdir(parents=True)
        listed.append(ListedModel(name, folder / name, (1,)))
        if name == "plain":
            plain_export(model, contract, folder / name / "1")
        else:
            _our_export(model, contract, folder / name / "1", precision)
    (folder / "models.config").write_text(config_text(listed))
    images = [(setting.data_root / one.image_id).read_bytes() for one in records_below(setting.data_root)[:N_IMAGES]]
    n_requests = 16 if setting.is_quick else 96
    write_batching_parameters(folder / "batching.config")
    is_real = server_executable()[0] != sys.executable
    joined_flags = (
        ["--enable_batching", f"--batching_parameters_file={folder / 'batching.config'}"]
        if is_real
        else [f"--join_signatures={','.join(JOINED)}"]
    )
    with ExitStack() as stack:
        server = stack.enter_context(configured_server(folder / "models.config", folder / "server.log"))
        clients = [Client(stack, server.address) for _ in range(N_CLIENTS)]
        joined = stack.enter_context(
            configured_server(folder / "models.config", folder / "joined.log", more=joined_flags)
        )
        joining = [Client(stack, joined.address) for _ in range(N_CLIENTS)]
        for name in ("ours", "plain"):
            clients[0].wait(name, server.require_alive)
            joining[0].wait(name, joined.require_alive)
        is_comparable = _agree(clients[0], images)
        found = in_turns(
            {
                **{f"{name} ms": _latency(clients[0], name, images, n_requests) for name in ("ours", "plain")},
                "joined ms": _latency(joining[0], "ours", images, n_requests),
                **{f"{name}/s": _throughput(clients, name, images, n_requests) for name in ("ours", "plain")},
                "joined/s": _throughput(joining, "ours", images, n_requests),
            },
            min(setting.repetitions, 3),
        )
    what = f"{model.name} at {contract.pixels.size_px} px, {precision}, {'real' if is_real else 'embedded'} server"
    plain = "the same Keras model exported with its variables, float32, same decoding, same server"
    return [
        compare(
            f"export: one client, {recipe}",
            ours=found["ours ms"],
            baseline=found["plain ms"],
            unit="ms",
            goal=latency_goal,
            less_is_better=True,
            is_comparable=is_comparable,
            ours_is=f"median of {n_requests} requests of one X-ray, frozen and folded: {what}",
            baseline_is=plain,
        ),
        compare(
            f"export: {N_CLIENTS} clients, {recipe}",
            ours=found["ours/s"],
            baseline=found["plain/s"],
            unit="req/s",
            goal=throughput_goal,
            is_comparable=is_comparable,
            ours_is=f"the same with {N_CLIENTS} clients at once",
            baseline_is=plain,
        ),
        compare(
            f"batching: one client, {recipe}",
            ours=found["joined ms"],
            baseline=found["ours ms"],
            unit="ms",
            less_is_better=True,
            ours_is="the same export, requests joined to batches: nobody waits for others",
            baseline_is="each request run alone",
        ),
        compare(
            f"batching: {N_CLIENTS} clients, {recipe}",
            ours=found["joined/s"],
            baseline=found["ours/s"],
            unit="req/s",
            ours_is=f"the same with {N_CLIENTS} clients at once",
            baseline_is="each request run alone",
        ),
    ]


def network_of(recipe: str) -> tuple[keras.Model, ServingContract]:
    """An untrained network whose normalisations have statistics as trained ones do, and a contract for it."""
    import keras

    from cxr_tasks.contracts.labels import findings_of
    from cxr_tasks.train.networks.networks import build_network

    loaded = load_recipe(recipe)
    findings = findings_of(loaded.dataset.vocabulary)
    model = build_network(
        loaded.train.network, size_px=loaded.pixels.size_px, n_findings=len(findings),
        options=loaded.train.network_options, seed=1,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            n = layer.moving_mean.shape[0]
            spread = (rng.uniform(0.5, 1.5, n), rng.normal(0, 0.2, n), rng.normal(0, 0.2, n), rng.uniform(0.5, 1.5, n))
            layer.set_weights(spread)
    contract = ServingContract(
        model_name="cxr_binary",
        pixels=loaded.pixels,
        decisions=tuple(FindingDecision(finding=one, a=1.0, b=0.0, threshold=0.5) for one in findings),
        dataset="none",
        dataset_fingerprint="0" * 64,
        recipe=recipe,
        recipe_sha256=loaded.sha256,
    )
    return model, contract


def _our_export(model: keras.Model, contract: ServingContract, folder: Path, precision: str) -> None:
    """With typicality, as versions of today are served."""
    from cxr_tasks.statistics.typicality import fit
    from serving.export.saved_model import export_saved_model

    n_features = model.get_layer("features").output.shape[-1]
    rng = np.random.default_rng(0)
    fitted = fit(rng.random((400, n_features), np.float32), rng.random((100, n_features), np.float32))
    export_saved_model(model, dataclasses.replace(contract, typicality=fitted), folder, precision=precision)


def plain_export(model: keras.Model, contract: ServingContract, folder: Path) -> None:
    """What ``model.export()`` writes, with the decoding of the same image files before it."""
    import keras
    import tensorflow as tf

    from cxr_tasks.images.batches import batch_pixels

    archive = keras.export.ExportArchive()
    archive.track(model)

    def serve(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": tf.sigmoid(model(batch_pixels(image_bytes, contract.pixels), training=False))}

    archive.add_endpoint("serving_default", serve, [tf.TensorSpec([None], tf.string, name="image_bytes")])
    archive.write_out(str(folder), verbose=False)


class Client:
    """TensorFlow Serving's own stubs, with nothing of ours between."""

    def __init__(self, stack: ExitStack, address: str):
        import grpc
        from tensorflow_serving.apis import prediction_service_pb2_grpc

        channel = stack.enter_context(grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]))
        self._predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict

    def __call__(self, name: str, image: bytes) -> np.ndarray:
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        request.model_spec.name = name
        request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([image]))
        request.output_filter.append("probabilities")
        return tf.make_ndarray(self._predict(request, timeout=120).outputs["probabilities"])

    def wait(self, name: str, require_alive: Callable[[], None]) -> None:
        """Until the model answers; what the server says meanwhile is that it does not know it yet."""
        import grpc

        image = _tiny_image()
        end = time.monotonic() + LOAD_LIMIT_S
        while True:
            try:
                self(name, image)
            except grpc.RpcError:
                require_alive()
                if time.monotonic() > end:
                    raise
                time.sleep(0.5)
            else:
                return


def _tiny_image() -> bytes:
    from serving.export.golden import golden_images

    return next(iter(golden_images().values()))


def _agree(client: Client, images: Sequence[bytes]) -> bool:
    """Whether both rank alike: bfloat16 rounds, so that answers are near and not equal."""
    ours, plain = (np.concatenate([client(name, one) for one in images]) for name in ("ours", "plain"))
    return bool(np.abs(ours - plain).max() < 0.05)


def _latency(client: Client, name: str, images: Sequence[bytes], n_requests: int) -> Callable[[], float]:
    def measure() -> float:
        times: list[float] = []
        for number in range(n_requests // 2):
            started = time.perf_counter()
            client(name, images[number % len(images)])
            times.append(time.perf_counter() - started)
        return statistics.median(times) * 1e3

    return measure


def _throughput(clients: Sequence[Client], name: str, images: Sequence[bytes], n_requests: int) -> Callable[[], float]:
    each = n_requests // len(clients)

    def work(client: Client) -> None:
        for number in range(each):
            client(name, images[number % len(images)])

    def measure() -> float:
        with ThreadPoolExecutor(len(clients)) as pool:
            started = time.perf_counter()
            done: list[Any] = [pool.submit(work, one) for one in clients]
            for one in done:
                one.result()
            return each * len(clients) / (time.perf_counter() - started)

    return measure

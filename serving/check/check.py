"""Does an exported version, in a server process of its own, answer as the model it came from?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from cxr_tasks.contracts.errors import ReleaseRefused
from cxr_tasks.contracts.serving_contract import ServingContract
from cxr_tasks.images.batches import batch_pixels
from serving.check.check_process import CheckServer
from serving.check.latency import Latency, measure_latency
from serving.client.grpc_client import GrpcClient
from serving.export import signature
from serving.export.golden import golden_images
from serving.export.saved_model import WARMUP_FILE

#: Largest difference of a probability between the server and the process the model came from.
PARITY_TOLERANCE = 1e-3
#: Starting TensorFlow alone takes most of a minute where all cores are busy.
LOAD_LIMIT_S = 240.0

#: Signature -> output -> dtype that clients rely on.
PROMISED_OUTPUTS = {
    "serving_default": {"probabilities": tf.float32, "decisions": tf.bool, "labels": tf.string},
    "lenient": {"probabilities": tf.float32, "decisions": tf.bool, "labels": tf.string, "status": tf.string},
    "explain": {
        "probabilities": tf.float32,
        "decisions": tf.bool,
        "labels": tf.string,
        "heat_maps": tf.float32,
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """What the check measured; all of it is written to ``parity.json``."""

    version: int
    n_images: int
    largest_difference: float
    tolerance: float
    load_seconds: float
    n_warmup_requests: int
    latency: Latency
    signatures: tuple[str, ...]


def in_process_probabilities(model: keras.Model, contract: ServingContract, images: list[bytes]) -> np.ndarray:
    """What the model itself gives for image files: float64 (n, k)."""
    pixels = batch_pixels(tf.constant(images), contract.pixels)
    return signature.probabilities_of(model(pixels, training=False).numpy(), contract)


def check_server(
    server: CheckServer, contract: ServingContract, expected: Callable[[list[bytes]], np.ndarray], max_ratio: float
) -> Parity:
    """Hold the answers of a server that was started for one version alone against ``expected``.

    Args:
        expected: Image files -> probabilities (n, k), computed without the SavedModel.
        max_ratio: The median answer may take so many times as long as that of the version that serves now.

    Raises:
        ServiceUnavailable: The server does not load it within ``LOAD_LIMIT_S``.
        ReleaseRefused: It cannot be loaded or its warm-up fails, signatures are not as promised, an answer differs by
            more than ``PARITY_TOLERANCE``, or it is slower than it may be.
    """
    name, version = contract.model_name, server.version
    images = list(golden_images().values())
    n_warmup = count_warmup(server.base_path / str(version) / WARMUP_FILE)
    with GrpcClient.connected(server.process.address) as client:
        load_seconds = client.wait_available(name, version, LOAD_LIMIT_S, server.process.require_alive)
        server.list_former()
        found = client.signatures(name, version)
        check_signatures(found)
        _, outputs = client.predict(name, images, at=version)
        difference = compare(outputs, expected(images), contract)
        _, explained = client.predict(name, images[:2], at=version, signature_name="explain")
        check_heat_maps(explained["heat_maps"], len(contract.findings))
        latency = measure_latency(client, server, images[0], max_ratio)
    return Parity(
        version=version,
        n_images=len(images),
        largest_difference=difference,
        tolerance=PARITY_TOLERANCE,
        load_seconds=round(load_seconds, 2),
        n_warmup_requests=n_warmup,
        latency=latency,
        signatures=tuple(sorted(found)),
    )


def count_warmup(path: Path) -> int:
    """Number of warm-up requests; ``ReleaseRefused`` where there is none. The server runs them before it serves."""
    n_records = sum(1 for _ in tf.data.TFRecordDataset(str(path))) if path.is_file() else 0
    if not n_records:
        raise ReleaseRefused(
            f"{path}: expected warm-up requests, found none; the first caller would wait in their place"
        )
    return n_records


def check_signatures(found: dict[str, dict[str, dict[str, int]]]) -> None:
    """Whether a server's metadata promises what clients rely on; otherwise ``ReleaseRefused`` names what is missing."""
    for name, outputs in PROMISED_OUTPUTS.items():
        if name not in found:
            raise ReleaseRefused(f"expected a signature {name!r}, found {', '.join(sorted(found)) or 'none'}")
        if set(found[name]["inputs"]) != {signature.INPUT_NAME}:
            raise ReleaseRefused(
                f"{name}: expected the input {signature.INPUT_NAME!r}, found {sorted(found[name]['inputs'])}"
            )
        for output, dtype in outputs.items():
            number = found[name]["outputs"].get(output)
            if number != dtype.as_datatype_enum:
                came = "none" if number is None else tf.dtypes.as_dtype(number).name
                raise ReleaseRefused(f"{name}: expected the output {output!r} as {dtype.name}, found {came}")


def compare(outputs: dict[str, np.ndarray], expected: np.ndarray, contract: ServingContract) -> float:
    """The largest absolute difference of a probability; ``ReleaseRefused`` where anything is not as promised."""
    probabilities = outputs["probabilities"]
    if probabilities.shape != expected.shape:
        raise ReleaseRefused(f"probabilities: expected shape {expected.shape}, found {probabilities.shape}")
    difference = float(np.max(np.abs(probabilities - expected)))
    if not difference <= PARITY_TOLERANCE:
        raise ReleaseRefused(
            f"served probabilities: expected within {PARITY_TOLERANCE} of the model's own, "
            f"found a difference of {difference:.3g}"
        )
    thresholds = np.array([one.threshold for one in contract.decisions])
    if not np.array_equal(outputs["decisions"], probabilities >= thresholds.astype(np.float32)):
        raise ReleaseRefused("decisions: expected probability >= threshold for each finding, found other values")
    labels = [[name.decode() for name in row] for row in outputs["labels"].reshape(probabilities.shape)]
    if labels != [list(contract.findings)] * len(labels):
        raise ReleaseRefused(f"labels: expected {list(contract.findings)} in each row, found {labels[0]}")
    return difference


def check_heat_maps(maps: np.ndarray, n_findings: int) -> None:
    """Heat maps must be (n, k, h, w) in [0, 1]."""
    if maps.ndim != 4 or maps.shape[1] != n_findings:
        raise ReleaseRefused(f"heat_maps: expected shape (n, {n_findings}, h, w), found {maps.shape}")
    if not (np.isfinite(maps).all() and maps.min() >= 0 and maps.max() <= 1 + 1e-6):
        raise ReleaseRefused(f"heat_maps: expected values in [0, 1], found {maps.min():.3g} to {maps.max():.3g}")

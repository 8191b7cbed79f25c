"""Does an exported version, in a server process of its own, answer as the model it came from?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from cxr_tasks.contracts.errors import ReleaseRefused
from cxr_tasks.contracts.serving_contract import UNUSUAL_BELOW, ServingContract
from cxr_tasks.images.batches import batch_pixels
from cxr_tasks.statistics.typicality import Shape, typicality
from serving.check.check_process import CheckServer
from serving.check.latency import Latency, measure_latency
from serving.check.precision import PrecisionChoice
from serving.client import CxrClient
from serving.client.answers import Signatures
from serving.client.running import wait_loaded
from serving.export import signature
from serving.export.frozen import frozen_network
from serving.export.golden import golden_images
from serving.export.precision_asked import FLOAT32
from serving.export.saved_model import WARMUP_FILE
from serving.export.typicality import with_pooled_features

#: Largest difference of a probability between the server and the process the model came from.
PARITY_TOLERANCE = 1e-3
#: Starting TensorFlow alone takes most of a minute where all cores are busy.
LOAD_LIMIT_S = 240.0

#: Largest difference of a typicality; of pictures like the ones asked for here it is near 0.
TYPICALITY_TOLERANCE = 0.01
#: Of every signature, where the contract says what is typical.
TYPICALITY_OUTPUTS = {"typicality": tf.float32, "is_unusual": tf.bool}
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
    precision: PrecisionChoice | None = None


@dataclass(frozen=True, slots=True)
class OwnAnswers:
    """What a model gives for image files, in float64 where it can be."""

    probabilities: np.ndarray
    """(n, k)."""
    typicality: np.ndarray | None = None
    """(n,); None where its contract does not say what is typical."""


def in_process_answers(
    model: keras.Model, contract: ServingContract, images: list[bytes], precision: str = FLOAT32
) -> OwnAnswers:
    """What the model itself gives for image files, its SavedModel not asked.

    In float32 that is Keras' own answer. In bfloat16, whose last bits follow from which operations are done as one, it
    is that of the network that was exported, called here; how good that is was held against Keras' on test images
    (``serving.check.precision``).
    """
    pixels = batch_pixels(tf.constant(images), contract.pixels)
    if precision == FLOAT32:
        logits, features = (np.asarray(output) for output in with_pooled_features(model)(pixels, training=False))
    else:
        last, logits = (np.asarray(output) for output in frozen_network(model, precision)(pixels))
        features = last.mean((1, 2))
    fitted = contract.typicality
    return OwnAnswers(
        signature.probabilities_of(logits, contract),
        None if fitted is None else typicality(Shape.of(fitted).log_distances(features), fitted),
    )


def check_server(
    server: CheckServer, contract: ServingContract, expected: Callable[[list[bytes]], OwnAnswers], max_ratio: float
) -> Parity:
    """Hold the answers of a server that was started for one version alone against ``expected``.

    Args:
        expected: Image files -> answers, computed without the SavedModel.
        max_ratio: The median answer may take so many times as long as that of the version that serves now.

    Raises:
        ServiceUnavailable: The server does not load it within ``LOAD_LIMIT_S``.
        ReleaseRefused: It cannot be loaded or its warm-up fails, signatures are not as promised, an answer differs by
            more than ``PARITY_TOLERANCE``, or it is slower than it may be.
    """
    name, version = contract.model_name, server.version
    images = list(golden_images().values())
    n_warmup = count_warmup(server.base_path / str(version) / WARMUP_FILE)
    with CxrClient(server.process.address) as client:
        alive = server.process.require_alive
        load_seconds = wait_loaded(client, name, version, LOAD_LIMIT_S, old_reason_s=0, require_alive=alive)
        server.list_former()
        signatures = client.signatures(name, at=version)
        check_signatures(signatures, promised_outputs(contract))
        _, outputs = client.outputs(name, images, at=version)
        own = expected(images)
        difference = compare(outputs, own.probabilities, contract)
        compare_typicality(outputs, own.typicality)
        _, explained = client.outputs(name, images[:2], at=version, signature="explain")
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
        signatures=tuple(sorted(signatures)),
    )


def count_warmup(path: Path) -> int:
    """Number of warm-up requests; ``ReleaseRefused`` where there is none. The server runs them before it serves."""
    n_records = sum(1 for _ in tf.data.TFRecordDataset(str(path))) if path.is_file() else 0
    if not n_records:
        raise ReleaseRefused(
            f"{path}: expected warm-up requests, found none; the first caller would wait in their place"
        )
    return n_records


def promised_outputs(contract: ServingContract) -> dict[str, dict[str, tf.DType]]:
    """Signature -> output -> dtype that a version with this contract must have."""
    more = {} if contract.typicality is None else TYPICALITY_OUTPUTS
    return {name: {**outputs, **more} for name, outputs in PROMISED_OUTPUTS.items()}


def check_signatures(signatures: Signatures, promised: dict[str, dict[str, tf.DType]] | None = None) -> None:
    """Whether a server's metadata promises what clients rely on; otherwise ``ReleaseRefused`` names what is missing."""
    for name, outputs in (promised or PROMISED_OUTPUTS).items():
        if name not in signatures:
            raise ReleaseRefused(f"expected a signature {name!r}, found {', '.join(sorted(signatures)) or 'none'}")
        if set(signatures[name]["inputs"]) != {signature.INPUT_NAME}:
            raise ReleaseRefused(
                f"{name}: expected the input {signature.INPUT_NAME!r}, found {sorted(signatures[name]['inputs'])}"
            )
        for output, dtype in outputs.items():
            number = signatures[name]["outputs"].get(output)
            if number != dtype.as_datatype_enum:
                came = "none" if number is None else tf.dtypes.as_dtype(number).name
                raise ReleaseRefused(f"{name}: expected the output {output!r} as {dtype.name}, found {came}")


def compare(outputs: dict[str, np.ndarray], expected: np.ndarray, contract: ServingContract) -> float:
    """The largest absolute difference between served probabilities and those the model itself gives.

    Args:
        outputs: As served: ``probabilities`` float32, ``decisions`` bool and ``labels`` bytes, each ``(n, k)``.
        expected: float ``(n, k)`` in [0, 1]: the model's own, in the order of the contract's findings.

    Raises:
        ReleaseRefused: They differ by more than ``PARITY_TOLERANCE``, or decisions or labels are not those promised.
    """
    probabilities = outputs["probabilities"]
    if probabilities.shape != expected.shape:
        raise ReleaseRefused(f"probabilities: expected shape {expected.shape}, found {probabilities.shape}")
    difference = float(np.max(np.abs(probabilities - expected)))
    if not difference <= PARITY_TOLERANCE:
        raise ReleaseRefused(
            f"served probabilities: expected within {PARITY_TOLERANCE} of the model's own, "
            f"found a difference of {difference:.3g}"
        )
    thresholds = np.array([decision.threshold for decision in contract.decisions])
    if not np.array_equal(outputs["decisions"], probabilities >= thresholds.astype(np.float32)):
        raise ReleaseRefused("decisions: expected probability >= threshold for each finding, found other values")
    labels = [[name.decode() for name in row] for row in outputs["labels"].reshape(probabilities.shape)]
    if labels != [list(contract.findings)] * len(labels):
        raise ReleaseRefused(f"labels: expected {list(contract.findings)} in each row, found {labels[0]}")
    return difference


def compare_typicality(outputs: dict[str, np.ndarray], expected: np.ndarray | None) -> None:
    """``ReleaseRefused`` where typicality is not the model's own, or images are not called unusual by it.

    Args:
        outputs: As served: ``typicality`` float32 ``(n,)`` in [0, 1] and ``is_unusual`` bool ``(n,)``.
        expected: float ``(n,)``; None for a model that does not tell it.
    """
    if expected is None:
        return
    served = outputs["typicality"]
    if served.shape != expected.shape:
        raise ReleaseRefused(f"typicality: expected shape {expected.shape}, found {served.shape}")
    difference = float(np.max(np.abs(served - expected)))
    if not difference <= TYPICALITY_TOLERANCE:
        raise ReleaseRefused(
            f"served typicality: expected within {TYPICALITY_TOLERANCE} of the model's own, found a difference of "
            f"{difference:.3g}"
        )
    if not np.array_equal(outputs["is_unusual"], served < np.float32(UNUSUAL_BELOW)):
        raise ReleaseRefused(f"is_unusual: expected typicality < {UNUSUAL_BELOW}, found other values")


def check_heat_maps(maps: np.ndarray, n_findings: int) -> None:
    """``ReleaseRefused`` unless ``maps`` are ``(n, n_findings, height, width)`` of numbers in [0, 1]."""
    if maps.ndim != 4 or maps.shape[1] != n_findings:
        raise ReleaseRefused(f"heat_maps: expected shape (n, {n_findings}, h, w), found {maps.shape}")
    if not (np.isfinite(maps).all() and maps.min() >= 0 and maps.max() <= 1 + 1e-6):
        raise ReleaseRefused(f"heat_maps: expected values in [0, 1], found {maps.min():.3g} to {maps.max():.3g}")

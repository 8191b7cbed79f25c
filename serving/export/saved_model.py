"""A SavedModel that any TensorFlow Serving loads, from a Keras model and its serving contract."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import keras
import tensorflow as tf

from cxr_tasks.contracts.errors import ReleaseRefused
from cxr_tasks.contracts.serving_contract import ServingContract
from cxr_tasks.images.rules import RequestLimits, requested_limits
from cxr_tasks.images.version import PIXELS_SINCE, PREPARE_VERSION
from cxr_tasks.registry.version_files import write_contract
from serving.export import signature
from serving.export.frozen import frozen_network
from serving.export.golden import golden_images

logger = logging.getLogger(__name__)

ENDPOINTS = {
    "serving_default": signature.serving_default,
    "lenient": signature.lenient,
    "explain": signature.explain,
}
WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"


def export_saved_model(
    model: keras.Model,
    contract: ServingContract,
    folder: Path,
    limits: RequestLimits | None = None,
    precision: str = "float32",
) -> Path:
    """Write the SavedModel of ``model`` into ``folder``: its signatures, warm-up requests and ``serving.json``.

    ``limits`` are those of the environment where none are given; ``precision`` is that of ``lean.lean_network``.

    Raises:
        ReleaseRefused: The model does not have one output per finding of the contract, or was trained on pixels that
            the code of today does not make.
    """
    _check_pixels(contract)
    n_outputs = int(model.output_shape[-1])
    if n_outputs != len(contract.findings):
        raise ReleaseRefused(
            f"{contract.model_name}: expected one output for each of {len(contract.findings)} findings "
            f"({', '.join(contract.findings)}), found {n_outputs}"
        )
    archive = keras.export.ExportArchive()
    network, limits = frozen_network(model, precision), limits or requested_limits(os.environ)
    for name, endpoint in ENDPOINTS.items():
        archive.add_endpoint(name, endpoint(network, contract, limits), signature.input_signature())
    archive.write_out(str(folder), verbose=False)
    extra = folder / WARMUP_FILE.parent
    extra.mkdir(exist_ok=True)
    write_contract(contract, extra)
    write_warmup(folder / WARMUP_FILE, contract.model_name)
    return folder


def _check_pixels(contract: ServingContract) -> None:
    """Answers can agree with the model's own and be wrong: both are then given pixels that it was not trained on."""
    trained_on = contract.prepare_version
    if trained_on is None:
        logger.info(
            "%s: registered before the version of the preparation was kept; served with the pixels of its record, %s",
            contract.model_name,
            contract.pixels,
        )
    elif not PIXELS_SINCE <= trained_on <= PREPARE_VERSION:
        raise ReleaseRefused(
            f"{contract.model_name}: trained on pixels of version {trained_on} of the preparation, expected one from "
            f"{PIXELS_SINCE} to {PREPARE_VERSION}, whose pixels are served; prepare the dataset again and train on it, "
            "or release it with the code that it was trained by"
        )


def write_warmup(path: Path, model_name: str) -> None:
    """Warm-up requests as the server reads them: a TFRecord of PredictionLog, all signatures, batches of 1 and 8.

    Without them the first caller after a release waits while TensorFlow traces and tunes the graph.
    """
    from tensorflow_serving.apis import prediction_log_pb2

    images = list(golden_images().values())
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name in ENDPOINTS:
            for size in (1, 8):
                log = prediction_log_pb2.PredictionLog()
                request = log.predict_log.request
                request.model_spec.name = model_name
                request.model_spec.signature_name = name
                request.inputs[signature.INPUT_NAME].CopyFrom(tf.make_tensor_proto(images[:size], dtype=tf.string))
                writer.write(log.SerializeToString())

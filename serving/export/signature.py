"""The served graph: image bytes in; calibrated probabilities, decisions, labels, typicality and heat maps out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from cxr_tasks.contracts.serving_contract import ServingContract
from cxr_tasks.images.batches import assert_all_taken, judged_pixels
from cxr_tasks.images.pixels import unit_scale
from cxr_tasks.images.rules import RequestLimits, too_many_images_words
from serving.export.frozen import FrozenNetwork
from serving.export.typicality import typicality_outputs

INPUT_NAME = "image_bytes"
Endpoint = Callable[[tf.Tensor], dict[str, tf.Tensor]]


def input_signature() -> list[Any]:
    """One string tensor of shape (n,): each element the bytes of one image file."""
    return [tf.TensorSpec([None], tf.string, name=INPUT_NAME)]


def serving_default(network: FrozenNetwork, contract: ServingContract, limits: RequestLimits) -> Endpoint:
    """Image bytes (n,) -> ``probabilities`` float, ``decisions`` bool and ``labels`` string, each (n, k).

    Where the contract says what is typical, ``typicality`` float in (0, 1) and ``is_unusual`` bool, each (n,), too: how
    large a share of validation's images lies at least as far from those of training, and whether it is below 0.01.
    An image that is refused fails the whole request with INVALID_ARGUMENT, which names its index and the reason.
    """
    answer = _answerer(network, contract)

    def serve(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs, _ = answer(_all_pixels(image_bytes, contract, limits))
        return _less_padding(outputs, image_bytes)

    return serve


def lenient(network: FrozenNetwork, contract: ServingContract, limits: RequestLimits) -> Endpoint:
    """As ``serving_default``, and ``status`` string (n,): one image that is refused costs no other its answer.

    ``status`` is "ok", or "ok: " and what is to be known, or "refused: " and the reason. The probabilities of a
    refused image are NaN and its decisions False: of use to nobody, and seen by everybody. So are its ``typicality``
    and ``is_unusual``.
    """
    answer = _answerer(network, contract)

    def serve(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        judged = judged_pixels(_within(image_bytes, limits), contract.pixels, limits)
        outputs = _less_padding(answer(unit_scale(judged.pixels))[0], image_bytes)
        is_refused = judged.refusal != ""
        taken = tf.where(judged.note == "", "ok", tf.strings.join(["ok: ", judged.note]))
        return {
            **{name: _blank_where(is_refused, tensor) for name, tensor in outputs.items()},
            "status": tf.where(is_refused, tf.strings.join(["refused: ", judged.refusal]), taken),
        }

    return serve


def explain(network: FrozenNetwork, contract: ServingContract, limits: RequestLimits) -> Endpoint:
    """As ``serving_default``, and ``heat_maps`` float (n, k, h, w) in [0, 1] at the resolution of the last features.

    A heat map is the class activation map max(0, sum_c w_ck * A_c), divided by its own maximum; a map
    without any positive evidence stays zero. For a head of global average pooling and one dense layer this
    equals Grad-CAM up to scale (Selvaraju et al., ICCV 2017, section 3.1).
    """
    answer = _answerer(network, contract)

    def serve(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs, features = answer(_all_pixels(image_bytes, contract, limits))
        maps = tf.nn.relu(tf.einsum("nhwc,ck->nkhw", features, network.head))
        maps = tf.math.divide_no_nan(maps, tf.reduce_max(maps, axis=[2, 3], keepdims=True))
        return _less_padding({**outputs, "heat_maps": maps}, image_bytes)

    return serve


def probabilities_of(logits: np.ndarray, contract: ServingContract) -> np.ndarray:
    """The calibrated probabilities the served graph must give for ``logits`` (n, k), in float64."""
    a = np.array([decision.a for decision in contract.decisions])
    b = np.array([decision.b for decision in contract.decisions])
    return 1.0 / (1.0 + np.exp(-(a * np.asarray(logits, dtype=np.float64) + b)))


def _all_pixels(image_bytes: tf.Tensor, contract: ServingContract, limits: RequestLimits) -> tf.Tensor:
    """Input of the model, float32 (n, size, size, 1), once every image is known to be taken."""
    judged = judged_pixels(_within(image_bytes, limits), contract.pixels, limits)
    with tf.control_dependencies([assert_all_taken(judged.refusal)]):
        return unit_scale(judged.pixels)


def _within(image_bytes: tf.Tensor, limits: RequestLimits) -> tf.Tensor:
    """``image_bytes``, once there are known to be no more than are taken in one request."""
    n_images = tf.shape(image_bytes)[0]
    words = tf.strings.join([tf.strings.as_string(n_images), too_many_images_words(limits.images)])
    with tf.control_dependencies([tf.debugging.Assert(n_images <= limits.images, [words], summarize=1)]):
        return tf.identity(image_bytes)


def _less_padding(outputs: dict[str, tf.Tensor], image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
    """``outputs`` without the row of ``_at_least_one``."""
    n_images = tf.shape(image_bytes)[0]
    return {name: tensor[:n_images] for name, tensor in outputs.items()}


def _at_least_one(pixels: tf.Tensor) -> tf.Tensor:
    """``pixels`` (n, size, size, 1), or one black image where n is 0.

    oneDNN's convolution gives an empty batch a wrong number of channels, so that an empty request would be
    an error (TensorFlow 2.21); the row added here is cut off again behind the model.
    """
    return tf.cond(tf.shape(pixels)[0] > 0, lambda: pixels, lambda: tf.zeros([1, *pixels.shape[1:]], pixels.dtype))


def _answerer(
    network: FrozenNetwork, contract: ServingContract
) -> Callable[[tf.Tensor], tuple[dict[str, tf.Tensor], tf.Tensor]]:
    """Pixels -> the outputs that every endpoint gives, and the features (n, h, w, c) they were made from."""
    decide, tell_typicality = _decider(contract), typicality_outputs(contract.typicality)

    def answer(pixels: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        features, logits = network(_at_least_one(pixels))
        return {**decide(logits), **tell_typicality(features)}, features

    return answer


def _blank_where(is_refused: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
    """``output`` with NaN for numbers and False for decisions of refused images; words stay."""
    where = tf.reshape(is_refused, [-1] + [1] * (output.shape.rank - 1))
    if output.dtype == tf.bool:
        return output & ~where
    return tf.where(where, np.float32("nan"), output) if output.dtype == tf.float32 else output


def _decider(contract: ServingContract) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Logits (n, k) -> probabilities, decisions and labels."""
    a = tf.constant([decision.a for decision in contract.decisions], tf.float32)
    b = tf.constant([decision.b for decision in contract.decisions], tf.float32)
    thresholds = tf.constant([decision.threshold for decision in contract.decisions], tf.float32)
    findings = tf.constant([list(contract.findings)])

    def decide(logits: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = tf.sigmoid(a * tf.cast(logits, tf.float32) + b)
        return {
            "probabilities": probabilities,
            "decisions": probabilities >= thresholds,
            # With the batch as first dimension, as server-side batching needs it.
            "labels": tf.repeat(findings, tf.shape(probabilities)[0], axis=0),
        }

    return decide

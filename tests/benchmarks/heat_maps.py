"""Heat maps of all findings in one forward pass, against gradients taken class by class."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from tests.benchmarks.exports import network_of
from tests.benchmarks.measure import Row, Setting, compare, in_turns

if TYPE_CHECKING:
    import keras

RECIPE = "nih_densenet121"
GOAL = 40.0
N_IMAGES, N_OF_BASELINE = 32, 1


def run(setting: Setting) -> list[Row]:
    from cxr_tasks.explain.cam import GradCam

    model, contract = network_of(RECIPE)
    size_px, n_findings = contract.pixels.size_px, len(contract.findings)
    images = np.random.default_rng(0).integers(0, 256, (N_IMAGES, size_px, size_px, 1), dtype=np.uint8)
    cam, few = GradCam(model), images[:N_OF_BASELINE]
    own, expected = cam.all_maps(few), by_class(model, few)
    found = in_turns(
        {
            "ours": lambda: _ms_each(lambda: cam.all_maps(images), N_IMAGES),
            "classes": lambda: _ms_each(lambda: by_class(model, few), N_OF_BASELINE),
        },
        min(setting.repetitions, 2),
    )
    difference = float(np.abs(own / own.max() - expected / expected.max()).max())
    return [
        compare(
            f"heat maps, {n_findings} findings",
            ours=found["ours"],
            baseline=found["classes"],
            unit="ms/image",
            goal=GOAL,
            less_is_better=True,
            is_comparable=difference < 1e-4,
            ours_is=f"closed form, one forward pass, batches of 32, {model.name} at {size_px} px",
            baseline_is="as tf-keras-vis does it: gradients of one class after the other, each with its own pass, not "
            f"traced; largest difference {difference:.1g}",
        )
    ]


def by_class(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Maps ``(n, k, h, w)`` as tf-keras-vis' ``Gradcam`` makes them: the model called anew for each class."""
    import keras
    import tensorflow as tf

    split = keras.Model(model.inputs, [model.get_layer("features").output, model.output])
    maps = []
    for image in images:
        batch, of_image = tf.constant(image[None] / 255.0, tf.float32), []
        for output in range(model.output_shape[-1]):
            with tf.GradientTape() as tape:
                features, logits = split(batch, training=False)
                tape.watch(features)
                score = logits[:, output]
            weights = tf.reduce_mean(tape.gradient(score, features), axis=(1, 2), keepdims=True)
            of_image.append(tf.nn.relu(tf.reduce_sum(weights * features, axis=-1))[0].numpy())
        maps.append(of_image)
    return np.array(maps)


def _ms_each(work: Callable[[], object], n: int) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) / n * 1e3

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from cxr_tasks.contracts.errors import ConfigurationError

pytestmark = pytest.mark.tf


@pytest.fixture(scope="module")
def test_images(small_model):
    """Images, and labels that the model ranks well but not perfectly."""
    from serving.check.check import in_process_answers  # noqa: F401  TensorFlow, before the model is called

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (200, 1, 1, 1)) * np.ones((1, 32, 32, 1)) + rng.normal(0, 20, (200, 32, 32, 1))
    images = np.clip(images, 0, 255).astype(np.uint8)
    logits = np.asarray(small_model(images / 255.0, training=False))
    return images, (logits + rng.normal(0, 0.3 * logits.std(), logits.shape) > np.median(logits)).astype(np.float32)


def test_bfloat16_serves_where_the_ranking_stays(small_model, contract, test_images):
    from serving.check.precision import compare_precisions

    found = compare_precisions(small_model, dataclasses.replace(contract, typicality=None), *test_images)
    assert found.precision == "mixed_bfloat16"
    assert 0.8 < found.auroc_float32 < 1.0
    assert abs(found.auroc_bf16 - found.auroc_float32) < 0.001
    assert found.n_images == 200
    assert "the mean AUROC on 200 test images" in found.why


def test_float32_serves_where_rounding_moves_the_ranking(small_model, contract, test_images):
    """Images that differ by less than bfloat16 tells apart."""
    from serving.check.precision import compare_precisions

    rng = np.random.default_rng(1)
    images = np.full((200, 32, 32, 1), 120, np.uint8)
    images[:, 8:16, 8:16] += rng.integers(0, 2, (200, 8, 8, 1)).astype(np.uint8)
    logits = np.asarray(small_model(images / 255.0, training=False))
    labels = (logits > np.median(logits)).astype(np.float32)
    found = compare_precisions(small_model, dataclasses.replace(contract, typicality=None), images, labels)
    assert (found.precision, found.auroc_float32) == ("float32", 1.0)
    assert found.auroc_bf16 < 0.999
    assert "expected a change below 0.001" in found.why


def test_where_it_cannot_be_checked_float32_serves_and_the_reason_is_said(small_model, contract, tmp_path, cxr_home):
    from serving.check.precision import choose_precision

    for environment, has_units, why in (
        ({}, False, "no units for bfloat16"),
        ({"CXR_SERVING_PRECISION": "float32"}, True, "asks for it"),
        ({}, True, "could not be held against test images: .*expected dataset 'made'"),
    ):
        found = choose_precision(small_model, contract, environment, tmp_path, has_units)
        assert found.precision == "float32"
        assert re.search(why, found.why), found.why
    with pytest.raises(ConfigurationError, match="CXR_SERVING_PRECISION=bf16: expected auto or float32"):
        choose_precision(small_model, contract, {"CXR_SERVING_PRECISION": "bf16"}, tmp_path, True)

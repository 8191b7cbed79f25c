from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn import linear_model

from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.baselines import BaselineInputs, Ridge, assess_baselines, oriented, thumbnails


def test_a_thumbnail_is_the_mean_of_each_cell():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 1)).astype(np.uint8)
    cells = image[..., 0].reshape(32, 2, 32, 2).mean(axis=(1, 3)).ravel() / 255
    np.testing.assert_allclose(thumbnails(image[None])[0], cells, atol=1.01 / 255)  # Pillow rounds twice, once per axis


def test_ridge_is_that_of_scikit_learn():
    rng = np.random.default_rng(1)
    x, y, other = rng.random((40, 12)), rng.integers(0, 2, 40).astype(float), rng.random((7, 12))
    centred = x - x.mean(axis=0)
    reference = linear_model.Ridge(alpha=np.trace(centred.T @ centred) / 12).fit(x, y)
    (scores,) = Ridge(x)(y, other)
    np.testing.assert_allclose(scores, reference.predict(other) - y.mean(), atol=1e-10)


def test_ridge_in_parts_is_ridge_at_once(monkeypatch):
    rng = np.random.default_rng(2)
    x, y, other = rng.random((50, 12)), rng.integers(0, 2, 50).astype(float), rng.random((7, 12))
    (whole,) = Ridge(x)(y, other)
    monkeypatch.setattr("cxr_tasks.evaluate.baselines.PART", 8)
    (in_parts,) = Ridge(x)(y, other)
    np.testing.assert_allclose(in_parts, whole, atol=1e-10)


def test_findings_that_share_images_and_findings_that_do_not_each_have_their_own_ridge():
    """Alone or beside others, known for all images or for some: the same AUROC."""
    splits = {"train": inputs(60, 0), "validation": inputs(40, 1), "test": inputs(50, 2)}
    alone = assess_baselines(splits, ("mass",), EvaluateSpec())[0].metrics
    several = {}
    for split, one in splits.items():
        target = one.labels[:, 0]
        some = np.where(np.arange(len(target)) % 5 == 0, np.nan, 1 - target)
        several[split] = BaselineInputs(one.thumbnails, np.stack([target, some, target], axis=1), one.rows)
    together = assess_baselines(several, ("mass", "nodule", "edema"), EvaluateSpec())[0].metrics
    values = {(one.finding, one.split): one.value for one in together}
    for one in alone:
        assert values["mass", one.split] == values["edema", one.split] == one.value
    assert values["nodule", "test"] > 0.9


@pytest.mark.parametrize(("sign", "expected"), [(1, [1.0, 2.0]), (-1, [-1.0, -2.0])])
def test_a_single_number_is_turned_the_right_way_by_train(sign, expected):
    value = np.array([1.0, 2.0, 3.0, 4.0])
    target = (sign * value > sign * 2.5).astype(float)
    (scores,) = oriented(value, target, np.array([1.0, 2.0]))
    assert scores.tolist() == expected


def inputs(n: int, seed: int, labels=None) -> BaselineInputs:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2 if labels is None else labels
    pixels = rng.random((n, 1024)).astype(np.float32) + 0.1 * np.asarray(labels)[:, None]
    rows = pd.DataFrame(
        {
            "image_id": [f"{i}" for i in range(n)],
            "patient_key": [f"{i}" for i in range(n)],
            "aspect_ratio": rng.random(n),
        }
    )
    return BaselineInputs(pixels, np.asarray(labels, np.float32)[:, None], rows)


def test_each_baseline_has_its_interval_on_validation_and_test():
    splits = {"train": inputs(60, 0), "validation": inputs(40, 1), "test": inputs(50, 2)}
    ridge, aspect = assess_baselines(splits, ("pneumonia",), EvaluateSpec())
    assert [one.split for one in ridge.metrics] == ["validation", "test"]
    assert ridge.metrics[1].value > 0.95  # brighter all over
    assert aspect.metrics[1].lower < 0.5 < aspect.metrics[1].upper  # random
    assert ridge.metrics[1].n == 50


@pytest.mark.parametrize("split", ["train", "test"])
def test_one_class_has_a_reason_instead(split):
    splits = {"train": inputs(60, 0), "validation": inputs(40, 1), "test": inputs(50, 2)}
    splits[split] = inputs(60, 3, labels=np.ones(60))
    for one in assess_baselines(splits, ("pneumonia",), EvaluateSpec()):
        assert one.metrics[1].value is None
        assert one.metrics[1].reason.startswith("not assessable")


def test_images_with_unknown_targets_are_left_out():
    labels = np.arange(60) % 2.0
    labels[:20] = np.nan
    known = inputs(60, 4, labels=np.arange(60) % 2)
    test = BaselineInputs(known.thumbnails, labels.astype(np.float32)[:, None], known.rows)
    splits = {"train": test, "validation": inputs(40, 1), "test": test}
    for one in assess_baselines(splits, ("pneumonia",), EvaluateSpec()):
        assert one.metrics[1].n == 40

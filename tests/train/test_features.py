"""Features on disk: equal to those computed, written once, never half."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.tf


def mean_and_deviation(batch):
    import tensorflow as tf

    return tf.stack([tf.reduce_mean(batch, (1, 2, 3)), tf.math.reduce_std(batch, (1, 2, 3))], axis=1)


def images(n=10):
    return np.random.default_rng(0).integers(0, 256, (n, 4, 4, 1)).astype(np.uint8)


def cached(folder, features_of=mean_and_deviation, key="k", n=10):
    from cxr_tasks.train.loop.features import cached_features

    return cached_features(folder, "train", key, images(n), features_of, 4)


def test_features_of_all_images_in_order_and_mapped_from_a_file(tmp_path):
    found = cached(tmp_path)
    scaled = images() / 255
    assert found == pytest.approx(np.stack([scaled.mean((1, 2, 3)), scaled.std((1, 2, 3))], axis=1), abs=1e-5)
    assert isinstance(found, np.memmap) and found.dtype == np.float32


def test_they_are_computed_once_per_key(tmp_path):
    first = np.array(cached(tmp_path))
    assert np.array_equal(cached(tmp_path, lambda batch: pytest.fail("computed again")), first)
    other = cached(tmp_path, lambda batch: 2 * mean_and_deviation(batch), key="other weights")
    assert not np.array_equal(other, first)


def test_a_computation_that_breaks_leaves_no_file(tmp_path):
    calls = []

    def breaks(batch):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError
        return mean_and_deviation(batch)

    with pytest.raises(RuntimeError):
        cached(tmp_path, breaks)
    assert list(tmp_path.iterdir()) == []
    assert len(cached(tmp_path)) == 10


def test_what_is_removed_holds_what_a_killed_process_left_half_written(tmp_path):
    from cxr_tasks.train.loop.features import remove_features

    cached(tmp_path)
    (tmp_path / ".features-train-k.npy.x1.npy").write_text("half")
    (tmp_path / "soft_labels.npy").write_text("another file")
    remove_features(tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["soft_labels.npy"]


def test_weights_and_precision_make_the_key():
    from cxr_tasks.train.loop.features import weights_key

    weights = [np.zeros(3, np.float32), np.ones((2, 2), np.float32)]
    changed = [weights[0] + 1e-7, weights[1]]
    keys = {weights_key(weights, "float32"), weights_key(changed, "float32"), weights_key(weights, "mixed_bfloat16")}
    assert len(keys) == 3 and weights_key([one.copy() for one in weights], "float32") in keys


def test_batches_are_the_rows_that_images_would_come_in(tmp_path):
    from cxr_tasks.train.data.inputs import BatchPlan
    from cxr_tasks.train.loop.features import feature_batches

    plan = BatchPlan(10, 4, seed=3)
    features, labels = np.arange(20.0).reshape(10, 2), np.arange(10)
    found = list(feature_batches(features, (labels,), plan, first_step=1, n_steps=4))
    assert len(found) == 3
    for step, (rows, row_labels) in enumerate(found, start=1):
        assert np.array_equal(row_labels, plan.batch(step)[1]) and np.array_equal(rows, features[row_labels])


def test_a_phase_that_is_over_takes_its_files_with_it(tmp_path):
    from cxr_tasks.train.loop.features import remove_features

    cached(tmp_path)
    (tmp_path / "state.npz").touch()
    remove_features(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["state.npz"]

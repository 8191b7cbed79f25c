"""Reading a stored dataset back, and an order of batches that is arithmetic."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.specs import AugmentSpec

pytestmark = pytest.mark.tf


def test_loaded_pixels_and_labels_equal_what_tfds_reads(cxr_home, prepare_tiny, tiny_recipe, tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    from cxr_tasks.train import inputs

    prepared = prepare_tiny(tiny_recipe)
    settings = {"size_px": 16, "n_findings": 1, "n_images": prepared.n_train, "spill_folder": tmp_path}
    loaded = inputs.load_split(Path(prepared.folder), "train", **settings)
    rows = list(
        tfds.as_numpy(tfds.builder_from_directory(prepared.folder).as_dataset(split="train", shuffle_files=False))
    )
    assert np.array_equal(loaded.images, [row["image"] for row in rows])
    assert np.array_equal(loaded.labels, [row["labels"] for row in rows])
    assert set(loaded.labels.ravel().tolist()) == {0.0, 1.0}

    monkeypatch.setattr(inputs, "MEMORY_SHARE", 0.0)
    mapped = inputs.load_split(Path(prepared.folder), "train", **settings)
    assert isinstance(mapped.images, np.memmap) and np.array_equal(mapped.images, loaded.images)

    with pytest.raises(DataDefect, match="expected 33 examples, found 32"):
        inputs.load_split(Path(prepared.folder), "train", **{**settings, "n_images": 33})
    with pytest.raises(DataDefect, match="expected 31 examples, found more"):
        inputs.load_split(Path(prepared.folder), "train", **{**settings, "n_images": 31})
    with pytest.raises(DataDefect, match="split 'holdout'"):
        inputs.load_split(Path(prepared.folder), "holdout", **settings)


def test_an_epoch_shows_each_image_at_most_once_and_another_order_each_time():
    from cxr_tasks.train.inputs import BatchPlan

    plan = BatchPlan(n_images=50, batch_size=8, seed=3)
    assert plan.steps_per_epoch == 6
    epochs = [[plan.batch(6 * epoch + step) for step in range(6)] for epoch in range(2)]
    rows = [np.concatenate([rows for _, rows in epoch]) for epoch in epochs]
    assert all(len(set(one.tolist())) == 48 for one in rows)
    assert rows[0].tolist() != rows[1].tolist()
    assert [number for number, _ in epochs[1]] == [1] * 6
    assert plan.batch(7)[1].tolist() == BatchPlan(n_images=50, batch_size=8, seed=3).batch(7)[1].tolist()
    assert plan.batch(7)[1].tolist() != dataclasses.replace(plan, seed=4).batch(7)[1].tolist()


def test_batches_from_the_middle_equal_those_of_a_run_from_the_start(make_split, tiny_recipe):
    from cxr_tasks.train.inputs import BatchPlan, training_batches

    split, plan = make_split(20), BatchPlan(n_images=20, batch_size=6, seed=1)
    augment = tiny_recipe.train.augment
    whole = list(training_batches(split, plan, augment, first_step=0, n_steps=7).as_numpy_iterator())
    rest = list(training_batches(split, plan, augment, first_step=4, n_steps=7).as_numpy_iterator())
    assert len(whole) == 7 and len(rest) == 3
    for (images, labels), (again, labels_again) in zip(whole[4:], rest, strict=True):
        assert np.array_equal(images, again) and np.array_equal(labels, labels_again)


def test_images_and_labels_stay_together(make_split):
    from cxr_tasks.train.inputs import BatchPlan, training_batches

    split, plan = make_split(20), BatchPlan(n_images=20, batch_size=5, seed=1)
    for images, labels in training_batches(split, plan, AugmentSpec(), first_step=0, n_steps=4).as_numpy_iterator():
        assert images.dtype == np.float32 and images.min() >= 0 and images.max() <= 1
        assert ((images[:, 5:11, 5:11].mean((1, 2, 3)) > 0.5) == (labels[:, 0] == 1)).all()

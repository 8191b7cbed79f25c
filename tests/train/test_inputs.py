"""Reading a stored dataset back, and an order of batches that is arithmetic."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.labels import LabelState
from cxr_tasks.contracts.train_specs import AugmentSpec
from cxr_tasks.train.data.label_treatment import Targets

pytestmark = pytest.mark.tf


def test_loaded_pixels_and_labels_equal_what_tfds_reads(cxr_home, prepare_tiny, tiny_recipe, tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    from cxr_tasks.datasets import load

    prepared = prepare_tiny(tiny_recipe)
    settings = {"size_px": 16, "n_findings": 1, "n_images": prepared.n_train, "spill_folder": tmp_path}
    loaded = load.load_split(Path(prepared.folder), "train", **settings)
    rows = list(
        tfds.as_numpy(tfds.builder_from_directory(prepared.folder).as_dataset(split="train", shuffle_files=False))
    )
    assert np.array_equal(loaded.images, [row["image"] for row in rows])
    assert np.array_equal(loaded.labels, [row["labels"] for row in rows])
    assert set(loaded.labels.ravel().tolist()) == {0.0, 1.0}
    assert loaded.states.dtype == np.uint8
    assert np.array_equal(loaded.states, [row["label_state"] for row in rows])
    names = tfds.builder_from_directory(prepared.folder).info.features["label_state"].feature.names
    assert names == [str(state) for state in LabelState]

    monkeypatch.setattr(load, "MEMORY_SHARE", 0.0)
    settings["spill_folder"] = tmp_path / "spilled"
    (tmp_path / "spilled").mkdir()
    (tmp_path / "spilled" / "train.npy").write_text("left by a version that gave the file a name")
    mapped = load.load_split(Path(prepared.folder), "train", **settings)
    assert isinstance(mapped.images, np.memmap) and np.array_equal(mapped.images, loaded.images)
    assert list((tmp_path / "spilled").iterdir()) == []  # 12 GB of NIH's, once

    with pytest.raises(DataDefect, match="expected 33 examples, found 32"):
        load.load_split(Path(prepared.folder), "train", **{**settings, "n_images": 33})
    with pytest.raises(DataDefect, match="expected 31 examples, found more"):
        load.load_split(Path(prepared.folder), "train", **{**settings, "n_images": 31})
    with pytest.raises(DataDefect, match="split 'holdout'"):
        load.load_split(Path(prepared.folder), "holdout", **settings)


def test_all_four_states_are_read_back_as_they_were_stored(tmp_path):
    from cxr_tasks.contracts.labels import findings_of, label_column
    from cxr_tasks.datasets.load import load_split
    from cxr_tasks.prepare.shards import write_dataset

    findings, n = findings_of("nih14"), 40
    codes = np.random.default_rng(0).integers(0, 4, (n, len(findings)))
    index = pd.DataFrame(
        {label_column(name): np.array(list(LabelState))[codes[:, i]] for i, name in enumerate(findings)}
    )
    index = index.assign(
        image_id="i", patient_key="p", source="made", view="pa", sex="female", age_years=50.0, boxes="[]"
    )
    pixels = np.zeros((n, 16, 16, 1), np.uint8)
    write_dataset(
        tmp_path / "stored",
        "four",
        splits={"train": index},
        pixels={"train": enumerate(pixels)},
        vocabulary="nih14",
        size_px=16,
    )
    loaded = load_split(
        tmp_path / "stored", "train", size_px=16, n_findings=len(findings), n_images=n, spill_folder=tmp_path
    )
    assert np.array_equal(loaded.states, codes)
    np.testing.assert_array_equal(loaded.labels, np.array([1, 0, np.nan, np.nan], np.float32)[codes])


def test_an_epoch_shows_each_image_at_most_once_and_another_order_each_time():
    from cxr_tasks.train.data.inputs import BatchPlan

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
    from cxr_tasks.train.data.inputs import BatchPlan, training_batches

    split, plan = make_split(20), BatchPlan(n_images=20, batch_size=6, seed=1)
    augment = tiny_recipe.train.augment
    whole = list(training_batches(split, plan, augment, first_step=0, n_steps=7).as_numpy_iterator())
    rest = list(training_batches(split, plan, augment, first_step=4, n_steps=7).as_numpy_iterator())
    assert len(whole) == 7 and len(rest) == 3
    for batch, again in zip(whole[4:], rest, strict=True):
        assert all(np.array_equal(one, other) for one, other in zip(batch, again, strict=True))


def test_images_and_labels_stay_together(make_split):
    from cxr_tasks.train.data.inputs import BatchPlan, training_batches

    split, plan = make_split(20), BatchPlan(n_images=20, batch_size=5, seed=1)
    batches = training_batches(split, plan, AugmentSpec(), first_step=0, n_steps=4)
    for images, values, uncertain in batches.as_numpy_iterator():
        assert images.dtype == np.float32 and images.min() >= 0 and images.max() <= 1
        assert ((images[:, 5:11, 5:11].mean((1, 2, 3)) > 0.5) == (values[:, 0] == 1)).all()
        assert not uncertain.any()


def test_a_plain_split_is_shuffled_augmented_and_mixed_as_it_always_was(make_split, tiny_recipe):
    """Runs begun with one version of this code must go on with the next one: pixels and labels, to the bit."""
    import tensorflow as tf

    from cxr_tasks.images.pixels import unit_scale
    from cxr_tasks.train.data.augment import augment_batch, draw_table, mix_batch
    from cxr_tasks.train.data.inputs import BatchPlan, training_batches

    split, plan, augment = make_split(20), BatchPlan(n_images=20, batch_size=6, seed=1), tiny_recipe.train.augment
    found = training_batches(split, plan, augment, first_step=0, n_steps=5).as_numpy_iterator()
    for step, (images, values, _) in enumerate(found):
        epoch, place = divmod(step, 3)
        rows = np.random.default_rng([1, epoch, 0]).permutation(20)[6 * place : 6 * place + 6]
        draws, noise_seed = draw_table(1, epoch, 20)[rows], tf.constant([1, step], tf.int32)
        expected = tf.function(
            lambda pixels, labels, draws, seed: mix_batch(
                augment_batch(unit_scale(pixels), draws, seed, augment), labels, draws, augment.mix
            )
        )(tf.constant(split.images[rows]), tf.constant(split.labels[rows]), tf.constant(draws), noise_seed)
        assert np.array_equal(images, expected[0]) and np.array_equal(values, expected[1])


def test_a_split_knows_the_states_of_its_labels_or_takes_them_from_the_labels(make_split):
    from cxr_tasks.datasets.load import LoadedSplit

    labels = np.array([[1], [0], [np.nan]], np.float32)
    images = np.zeros((3, 16, 16, 1), np.uint8)
    assert LoadedSplit(images, labels).states.ravel().tolist() == [0, 1, 2]
    assert LoadedSplit(images, labels, np.array([[0], [1], [3]], np.uint8)).states.ravel().tolist() == [0, 1, 3]
    with pytest.raises(DataDefect, match="expected 0, 1 or NaN"):
        LoadedSplit(images, labels + 0.5)


# --- labels of three classes -----------------------------------------------------------------------------------


def three_classes(n: int) -> Targets:
    """Labels in turn: positive, negative, uncertain, masked."""
    kind = np.arange(n) % 4
    values = np.select([kind == 0, kind == 1], [1.0, 0.0], np.nan).astype(np.float32)[:, None]
    return Targets(values, (kind == 2)[:, None])


def test_targets_come_with_their_images_and_uncertain_ones_marked(make_split):
    from cxr_tasks.train.data.inputs import BatchPlan, training_batches

    split, targets, plan = make_split(20), three_classes(20), BatchPlan(n_images=20, batch_size=5, seed=1)
    batches = training_batches(split, plan, AugmentSpec(), first_step=0, n_steps=4, targets=targets)
    for step, (images, values, uncertain) in enumerate(batches.as_numpy_iterator()):
        _, rows = plan.batch(step)
        assert images == pytest.approx(split.images[rows] / 255, abs=1e-6)
        np.testing.assert_array_equal(values, targets.values[rows])
        assert np.array_equal(uncertain, targets.is_uncertain[rows])


def test_mixed_labels_are_shares_of_three_classes(make_split):
    """The share of a neighbour follows from its effect on the images, which are flat here."""
    from cxr_tasks.datasets.load import LoadedSplit
    from cxr_tasks.train.data.inputs import BatchPlan, training_batches

    n = 16
    images = np.broadcast_to((10 * np.arange(n)).astype(np.uint8)[:, None, None, None], (n, 16, 16, 1)).copy()
    split, targets = LoadedSplit(images, np.zeros((n, 1), np.float32)), three_classes(n)
    plan, spec = BatchPlan(n_images=n, batch_size=n, seed=2), AugmentSpec(mix=0.4)
    (batch,) = training_batches(split, plan, spec, first_step=0, n_steps=1, targets=targets).as_numpy_iterator()
    mixed, values, uncertain = batch
    _, rows = plan.batch(0)
    neighbours = np.roll(rows, 1)
    share = (255 * mixed[:, 0, 0, 0] - 10 * rows) / (10.0 * (neighbours - rows))
    assert share.min() >= -1e-4 and 0.2 < share.max() <= 0.4
    is_masked = (rows % 4 == 3) | (neighbours % 4 == 3)
    assert np.array_equal(np.isnan(values[:, 0]), is_masked)
    assert not uncertain[is_masked].any()
    for kind, found in ((0, values), (2, uncertain)):
        expected = (1 - share) * (rows % 4 == kind) + share * (neighbours % 4 == kind)
        assert found[~is_masked, 0] == pytest.approx(expected[~is_masked], abs=1e-4)


# --- class-aware sampling --------------------------------------------------------------------------------------

N = 200


def rare_and_common() -> np.ndarray:
    """Targets of 200 images: 2 with hernia (one of them with edema too), 50 with edema, one of unknown edema."""
    values = np.zeros((N, 2), np.float32)
    values[[0, 1], 0] = 1
    values[1:51, 1] = 1
    values[199, 1] = np.nan
    return values


def sampled_epochs(n_epochs: int, seed: int = 5, batch_size: int = 20):
    """Rows of each epoch, int ``(n_epochs, 200)``."""
    from cxr_tasks.train.data.inputs import BatchPlan, image_weights

    plan = BatchPlan(n_images=N, batch_size=batch_size, seed=seed, weights=image_weights(rare_and_common()))
    n_steps = n_epochs * plan.steps_per_epoch
    return np.concatenate([plan.batch(step)[1] for step in range(n_steps)]).reshape(n_epochs, -1)


def test_an_image_weighs_the_root_of_the_inverse_frequency_of_its_rarest_finding():
    from cxr_tasks.train.data.inputs import image_weights

    weights = image_weights(rare_and_common()).values
    assert weights[0] == weights[1] == pytest.approx(10)  # hernia, 1 %, whatever comes beside it
    assert weights[2] == pytest.approx(2)  # edema, 25 %
    assert weights[[100, 199]] == pytest.approx(np.sqrt(N / 149))  # nothing found, or not known
    soft = image_weights(np.array([[0.7], [0.3], [0.3], [0.3]])).values
    assert soft == pytest.approx([2, np.sqrt(4 / 3), np.sqrt(4 / 3), np.sqrt(4 / 3)])


def test_images_come_as_often_as_they_weigh_in_epochs_of_unchanged_length():
    from cxr_tasks.train.data.inputs import image_weights

    epochs = sampled_epochs(400)
    assert epochs.shape == (400, N)
    weights = image_weights(rare_and_common()).values
    expected = N * weights / weights.sum()
    counts = np.stack([np.bincount(rows, minlength=N) for rows in epochs])
    # Rounded up or down, never further off: what systematic sampling is for.
    assert (np.abs(counts - expected) < 1 + 1e-9).all()
    # Means of 400 draws with a standard deviation of at most 0.5.
    assert counts.mean(axis=0) == pytest.approx(expected, abs=4.5 * 0.5 / 20)
    assert (counts.sum(axis=0) > 0).all()


def test_every_image_comes_now_and_then():
    counts = np.bincount(sampled_epochs(12).ravel(), minlength=N)
    assert counts.min() >= 1


def test_batches_of_a_sampled_run_follow_from_seed_and_step():
    from cxr_tasks.train.data.inputs import BatchPlan, image_weights

    first = sampled_epochs(2)
    assert np.array_equal(first, sampled_epochs(2))
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first, sampled_epochs(2, seed=6))
    plan = BatchPlan(n_images=N, batch_size=20, seed=5, weights=image_weights(rare_and_common()))
    epoch, rows = plan.batch(13)
    assert epoch == 1 and np.array_equal(rows, first[1, 60:80])


def test_an_image_that_comes_twice_in_an_epoch_is_augmented_in_two_ways():
    from cxr_tasks.train.data.inputs import BatchPlan, image_weights

    sampled = BatchPlan(n_images=N, batch_size=20, seed=5, weights=image_weights(rare_and_common()))
    rows = np.concatenate([sampled.batch(step)[1] for step in range(10)])
    draws = np.concatenate([sampled.draws(step) for step in range(10)])
    assert (rows == 0).sum() > 1
    assert len(np.unique(draws[rows == 0], axis=0)) == (rows == 0).sum()
    assert len(np.unique(draws, axis=0)) == N

    shuffled = dataclasses.replace(sampled, weights=None)
    from cxr_tasks.train.data.augment import draw_table

    _, rows = shuffled.batch(3)
    assert np.array_equal(shuffled.draws(3), draw_table(5, 0, N)[rows])


def test_rare_findings_stand_in_more_batches():
    share_with_hernia = np.isin(sampled_epochs(40), [0, 1]).reshape(40, 10, 20).any(axis=2).mean()
    assert share_with_hernia > 3 * (2 / 10)  # shuffled, two images stand in at most two of ten batches

"""Labels that are not known, and the order and weights of those that are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.train.losses.formula import N_FINDINGS, NAN, SPECS, WEIGHTED, a_batch, gradients, loss_of

pytestmark = pytest.mark.tf


numbers = st.floats(-30, 30, width=32)


@st.composite
def masked_batches(draw):
    """A batch with some labels masked, and other logits for those."""
    n = draw(st.integers(1, 6))

    def table(items, of):
        return np.array(draw(st.lists(items, min_size=n * N_FINDINGS, max_size=n * N_FINDINGS)), of).reshape(n, -1)

    values = table(st.sampled_from([0.0, 1.0, NAN, NAN, 0.25]), np.float32)
    uncertain = np.zeros_like(values)
    uncertain[:, 1] = np.isnan(values[:, 1]) & (table(st.booleans(), bool)[:, 1])
    logits, uncertain_logits, others = (table(numbers, np.float32) for _ in range(3))
    return values, uncertain, logits, uncertain_logits, others


@pytest.mark.parametrize("name", SPECS)
@settings(max_examples=40, deadline=None)
@given(batch=masked_batches())
def test_a_masked_label_never_moves_the_loss_or_any_gradient(name, batch):
    values, uncertain, logits, uncertain_logits, others = batch
    loss = loss_of(name, third_class=True)
    is_masked = np.isnan(values) & (uncertain == 0)
    found, found_gradients = gradients(loss, values, uncertain, logits, uncertain_logits)
    moved = [np.where(is_masked, others, one) for one in (logits, uncertain_logits)]
    again, again_gradients = gradients(loss, values, uncertain, *moved)
    assert found == again
    for before, after in zip(found_gradients, again_gradients, strict=True):
        assert np.isfinite(before).all() and np.array_equal(before, after)
    for by_logits in found_gradients[:2]:
        assert not by_logits[is_masked].any()


@pytest.mark.parametrize("name", WEIGHTED)
@settings(max_examples=25, deadline=None)
@given(batch=masked_batches())
def test_images_without_any_known_label_change_nothing(name, batch):
    values, uncertain, logits, uncertain_logits, others = batch
    loss = loss_of(name, third_class=True)
    found, (by_logits, *_) = gradients(loss, values, uncertain, logits, uncertain_logits)
    unknown = np.full_like(values, NAN)
    longer = [
        np.concatenate(pair)
        for pair in [(values, unknown), (uncertain, 0 * uncertain), (logits, others), (uncertain_logits, others)]
    ]
    again, (by_longer, *_) = gradients(loss, *longer)
    assert again == pytest.approx(found, rel=1e-5, abs=1e-7)
    assert by_longer[: len(values)] == pytest.approx(by_logits, rel=1e-5, abs=1e-8)
    assert not by_longer[len(values) :].any()


@pytest.mark.parametrize("third_class", [False, True])
@pytest.mark.parametrize("name", SPECS)
def test_a_batch_without_any_known_label_costs_nothing_and_moves_nothing(name, third_class):
    values = np.full((4, N_FINDINGS), NAN, np.float32)
    logits = np.random.default_rng(0).normal(size=values.shape).astype(np.float32)
    found, all_gradients = gradients(loss_of(name, third_class=third_class), values, 0 * logits, logits, logits)
    assert found == 0
    assert not any(one.any() for one in all_gradients)


@pytest.mark.parametrize("name", SPECS)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**16))
def test_the_order_of_images_does_not_matter(name, seed):
    loss, batch = loss_of(name, third_class=True), a_batch(seed, third_class=True)
    order = np.random.default_rng(seed).permutation(len(batch[0]))
    found, (by_logits, by_uncertain, *_) = gradients(loss, *batch)
    again, (by_logits_again, by_uncertain_again, *_) = gradients(loss, *(one[order] for one in batch))
    assert again == pytest.approx(found, rel=1e-5)
    assert by_logits_again == pytest.approx(by_logits[order], rel=1e-4, abs=1e-7)
    assert by_uncertain_again == pytest.approx(by_uncertain[order], rel=1e-4, abs=1e-7)


# --- class weights ---------------------------------------------------------------------------------------------


def test_class_weights_even_out_the_classes_and_average_one():
    from cxr_tasks.train.losses.losses import class_weights

    labels = np.array([[1], [1], [1], [0], [NAN], [0.7]], np.float32)  # a soft label is of no class
    weights = class_weights(labels, "class_weights")
    assert 3 * weights.positive[0] == pytest.approx(1 * weights.negative[0])
    assert (3 * weights.positive[0] + weights.negative[0]) / 4 == pytest.approx(1)
    assert class_weights(labels, "none").positive.tolist() == [1]


def test_a_finding_of_one_class_weighs_one():
    from cxr_tasks.train.losses.losses import class_weights

    weights = class_weights(np.ones((3, 1), np.float32), "class_weights")
    assert (weights.positive[0], weights.negative[0]) == (1, 1)

"""Backbone and head of a network, run apart."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.tf


def make_parts(**settings):
    from cxr_tasks.train.networks.backbone import BackboneAndHead
    from cxr_tasks.train.networks.networks import build_network

    options = {"widths": [4, 6], "dropout": 0.5}
    return BackboneAndHead(build_network("residual_cnn", size_px=32, n_findings=2, options=options, seed=1), **settings)


def images():
    return np.random.default_rng(0).random((3, 32, 32, 1)).astype("f")


def test_one_after_the_other_they_are_the_network():
    parts = make_parts()
    features = parts.features(images(), training=False)
    logits, uncertain = parts.logits(features, training=False)
    assert features.shape == (3, parts.n_channels) == (3, 6) and uncertain is None
    assert np.array_equal(logits, parts.network(images(), training=False))


def test_the_head_drops_features_in_training_only():
    parts = make_parts()
    features = parts.features(images(), training=False)
    alone = [parts.logits(features, training=False)[0].numpy() for _ in range(2)]
    dropped = [parts.logits(features, training=True)[0].numpy() for _ in range(2)]
    assert np.array_equal(*alone) and not np.array_equal(*dropped)


def test_the_second_head_is_beside_the_network_and_follows_from_the_seed():
    plain, first, second, other = (make_parts(**one) for one in (
        {}, {"has_uncertain_head": True}, {"has_uncertain_head": True}, {"has_uncertain_head": True, "seed": 1},
    ))  # fmt: skip
    assert len(first.network.weights) == len(plain.network.weights)
    assert len(first.variables) == len(plain.variables) + 2
    kernels = [one.uncertain_weights[0].numpy() for one in (first, second, other)]
    assert np.array_equal(kernels[0], kernels[1]) and not np.array_equal(kernels[0], kernels[2])
    features = first.features(images(), training=False)
    logits, uncertain = first.logits(features, training=False)
    assert uncertain.numpy() == pytest.approx(features.numpy() @ kernels[0], abs=1e-5)
    assert np.array_equal(logits, first.network(images(), training=False))


def test_weights_are_set_with_and_without_those_of_the_second_head():
    parts = make_parts(has_uncertain_head=True)
    network, beside = parts.network.get_weights(), [v.numpy() for v in parts.uncertain_weights]
    parts.set_weights([one + 1 for one in network])
    assert np.array_equal(parts.uncertain_weights[0], beside[0])
    parts.set_weights([*network, *(one + 1 for one in beside)])
    assert np.array_equal(parts.network.get_weights()[0], network[0])
    assert parts.uncertain_weights[1].numpy() == pytest.approx(beside[1] + 1)

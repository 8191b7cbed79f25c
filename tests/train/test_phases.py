"""Phases: what learns in which, how fast, and what a recipe without phases stands for."""

from __future__ import annotations

import numpy as np
import pytest

from cxr_tasks.contracts.train_specs import AugmentSpec, PhaseSpec, TrainSpec

pytestmark = pytest.mark.tf

OPTIONS = {"widths": [4, 6, 8, 10], "blocks": 1}


def make_phase(**changed) -> PhaseSpec:
    return PhaseSpec(**{"name": "one", "epochs": 4, "learning_rate": 0.01, **changed})


def make_network():
    from cxr_tasks.train.networks.networks import build_network

    return build_network("residual_cnn", size_px=32, n_findings=2, options=OPTIONS, seed=1)


def test_a_recipe_without_phases_is_one_phase_of_everything():
    from cxr_tasks.train.loop.phases import caches_features, phases_of, total_epochs

    spec = TrainSpec(network="residual_cnn", epochs=7, learning_rate=0.02, warmup_epochs=2, early_stopping_patience=3)
    (phase,) = phases_of(spec)
    assert (phase.epochs, phase.learning_rate, phase.warmup_epochs) == (7, 0.02, 2)
    assert (phase.unfrozen_blocks, phase.lower_rate, phase.early_stopping_patience) == (5, 1.0, 3)
    assert not caches_features(phase, spec) and total_epochs(spec) == 7
    phased = TrainSpec(network="residual_cnn", phases=(make_phase(), make_phase(epochs=2)))
    assert total_epochs(phased) == 6


@pytest.mark.parametrize(
    ("unfrozen", "learns"),
    [
        (0, ["head"]),
        (1, ["block_4", "head"]),
        (3, ["block_2", "block_3", "block_4", "head"]),
        (4, ["block_1", "block_2", "block_3", "block_4", "head"]),
        (5, ["block_1", "block_2", "block_3", "block_4", "head", "stem"]),
    ],
)
def test_blocks_are_unfrozen_from_the_top(unfrozen, learns):
    from cxr_tasks.train.loop.phases import learning_weights, set_trainable

    network, phase = make_network(), make_phase(unfrozen_blocks=unfrozen)
    set_trainable(network, phase)
    found = learning_weights(network, phase)
    parts = {v.path.split("/")[0] for v in found.variables}
    assert sorted({p if p == "head" else "_".join(p.split("_")[: 2 - p.startswith("stem")]) for p in parts}) == learns
    assert {v.name for v in found.statistics} <= {"moving_mean", "moving_variance"}
    assert bool(found.statistics) == (unfrozen > 0)
    # The other way round: unfrozen in a later phase, all of it learns again.
    set_trainable(network, make_phase())
    assert len(learning_weights(network, make_phase()).variables) == len(network.trainable_weights)


def test_lower_blocks_learn_more_slowly():
    from cxr_tasks.train.loop.phases import learning_weights, set_trainable

    network, phase = make_network(), make_phase(lower_rate=0.5)
    set_trainable(network, phase)
    found = learning_weights(network, phase)
    rates = {v.path.split("/")[0]: rate for v, rate in zip(found.variables, found.rates, strict=True)}
    assert rates["head"] == 1 and rates["block_4_conv_1"] == 0.5 and rates["block_1_conv_2"] == 0.5**4
    assert rates["stem"] == rates["stem_norm"] == 0.5**5


def test_frozen_normalisation_keeps_its_statistics_but_may_learn_scale_and_offset():
    from cxr_tasks.train.loop.phases import learning_weights, set_trainable

    network, phase = make_network(), make_phase(batch_norm="frozen")
    set_trainable(network, phase)
    found = learning_weights(network, phase)
    assert found.statistics == [] and "gamma" in {v.name for v in found.variables}


@pytest.mark.parametrize(
    ("phase", "augment", "caches"),
    [
        ({"unfrozen_blocks": 0, "augment": False}, {"noise": 0.1}, True),
        ({"unfrozen_blocks": 0}, {}, True),  # augmentation on, but all of it zero
        ({"unfrozen_blocks": 0}, {"noise": 0.1}, False),
        ({"unfrozen_blocks": 0}, {"flip_horizontal": True}, False),
        ({"unfrozen_blocks": 1, "augment": False}, {}, False),
        ({"unfrozen_blocks": 0, "cache_features": "never"}, {}, False),
    ],
)
def test_features_are_cached_where_every_epoch_would_see_the_same(phase, augment, caches):
    from cxr_tasks.train.loop.phases import caches_features

    spec = TrainSpec(network="residual_cnn", augment=AugmentSpec(**augment))
    assert caches_features(make_phase(**phase), spec) == caches


def test_learning_rate_warms_up_to_the_phases_own_and_falls_to_zero():
    from cxr_tasks.train.loop.phases import schedule_of

    schedule = schedule_of(make_phase(warmup_epochs=1), updates_per_epoch=10)
    rates = [float(schedule(step)) for step in (0, 5, 10, 25, 40)]
    assert rates[0] == pytest.approx(1e-4) and rates[2] == pytest.approx(0.01)
    assert rates[3] == pytest.approx(0.005, rel=1e-3) and rates[4] == pytest.approx(0, abs=1e-8)
    assert np.argmax(rates) == 2


@pytest.mark.parametrize(("steps", "accumulate", "updates"), [(10, 1, 10), (10, 4, 3), (3, 8, 1)])
def test_an_epoch_ends_with_an_update(steps, accumulate, updates):
    from cxr_tasks.train.loop.phases import updates_per_epoch

    assert updates_per_epoch(steps, accumulate) == updates

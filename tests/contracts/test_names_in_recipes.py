"""A name that nothing was made for is an error when it is read, never taken as one of the others in silence."""

from __future__ import annotations

import dataclasses
from typing import get_args, get_type_hints

import pytest

from cxr_tasks.contracts.errors import ConfigurationError, chosen
from cxr_tasks.contracts.label_policies import LabelSpec, Policy
from cxr_tasks.contracts.labels import LabelState
from cxr_tasks.contracts.network_options import NETWORK_OPTIONS
from cxr_tasks.contracts.recipes import Recipe, load_recipe
from cxr_tasks.contracts.train_specs import LossSpec, TrainSpec


def test_a_name_without_an_entry_is_told_with_the_nearest():
    assert chosen({"focal": 1}, "focal", "train.loss.kind") == 1
    with pytest.raises(ConfigurationError, match="train.loss.kind: 'focl' is not known; did you mean 'focal'"):
        chosen({"focal": 1}, "focl", "train.loss.kind")


def read_with(**train) -> Recipe:
    plain = load_recipe("nih_cnn").to_dict()
    return Recipe.from_dict({**plain, "train": {**plain["train"], **train}})


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"network_options": {"blokcs": 2}}, "network_options: 'blokcs' is not known; did you mean 'blocks'"),
        ({"network_options": {"widths": 8}}, "network_options.widths: expected a list, found 8"),
        (
            {"labels": {"uncertain_by_finding": {"oedema": "ones"}}},
            "uncertain_by_finding: 'oedema' is no finding of this vocabulary; did you mean 'edema'",
        ),
    ],
)
def test_names_in_mappings_are_checked_when_a_recipe_is_read(train, message):
    with pytest.raises(ConfigurationError, match=message):
        read_with(**train)


def test_every_network_of_the_vocabulary_has_options():
    assert set(get_args(get_type_hints(TrainSpec)["network"])) == set(NETWORK_OPTIONS)


@pytest.mark.tf
def test_a_loss_kind_that_the_table_lacks_does_not_train_as_another():
    import numpy as np

    from cxr_tasks.train.data.label_treatment import Targets
    from cxr_tasks.train.losses.losses import make_loss

    targets = Targets.of_labels(np.array([[0.0], [1.0]], np.float32))
    for kind in get_args(get_type_hints(LossSpec)["kind"]):
        make_loss(LossSpec(kind=kind), targets, "none", 0.0)
    with pytest.raises(ConfigurationError, match="train.loss.kind: 'dice' is not known"):
        make_loss(LossSpec(kind="dice"), targets, "none", 0.0)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="train.imbalance: 'weights' is not known"):
        make_loss(LossSpec(), targets, "weights", 0.0)


def test_a_policy_that_nothing_was_made_for_does_not_leave_labels_unknown(monkeypatch):
    import numpy as np

    from cxr_tasks.train.data.label_treatment import CODES, training_targets

    states = np.array([[CODES[LabelState.UNCERTAIN]]], np.uint8)
    for policy in get_args(Policy):
        training_targets(states, ["edema"], LabelSpec(uncertain_by_finding={"edema": policy}), seed=1)
    spec = LabelSpec(uncertain="halves", uncertain_by_finding={})  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="nothing was made for the policy 'halves' of edema"):
        training_targets(states, ["edema"], spec, seed=1)
    spec = dataclasses.replace(spec, uncertain="ones", unmentioned="ones")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="train.labels.unmentioned: 'ones' is not known"):
        training_targets(states, ["edema"], spec, seed=1)


def test_a_calibration_that_the_table_lacks_is_named():
    import numpy as np

    from cxr_tasks.statistics.calibration import fit_calibration

    with pytest.raises(ConfigurationError, match="evaluate.calibration: 'isotonic' is not known"):
        fit_calibration(np.array([True, False]), np.array([1.0, 0.0]), "isotonic")  # type: ignore[arg-type]


def test_card_and_report_have_words_for_every_policy_and_loss():
    from cxr_tasks.report.training_facts import _LOSSES, _POLICIES

    assert set(_POLICIES) == set(get_args(Policy))
    assert set(_LOSSES) == set(get_args(get_type_hints(LossSpec)["kind"]))

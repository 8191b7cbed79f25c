"""The card and report say what was used: of each shipped recipe, and of what differs."""

from __future__ import annotations

import copy
import dataclasses

import pytest

from cxr_tasks.contracts.recipes import load_recipe, recipe_names
from cxr_tasks.report.training_facts import phase_lines, training_facts


@pytest.fixture
def facts_of(make_inputs):
    def facts(recipe, statistics=None, findings=("pneumonia",), **environment):
        inputs = make_inputs(recipe=recipe, environment=environment)
        inputs = dataclasses.replace(inputs, evaluation=dataclasses.replace(inputs.evaluation, findings=findings))
        if statistics:
            inputs.statistics["train"] = statistics
        return training_facts(inputs)

    return facts


@pytest.mark.parametrize("name", recipe_names())
def test_each_shipped_recipe_tells_all_of_what_it_used(facts_of, name):
    recipe = load_recipe(name).to_dict()
    facts = facts_of(recipe)
    assert {
        "Starting weights", "Phases", "Loss", "Labels", "Average of weights (EMA)", "Mirror image at the answer (flip)",
        "Augmentation", "Batch",
    } <= set(facts)  # fmt: skip
    assert all(facts.values())
    rates = [one["learning_rate"] for one in recipe["train"]["phases"]] or [recipe["train"]["learning_rate"]]
    told = zip(rates, phase_lines(recipe["train"]), strict=True)
    assert all(f"peak learning rate {rate:g}," in line for rate, line in told)


def test_of_phases_their_own_rates_are_told_and_not_the_unused_one(facts_of):
    """The recipe's own learning rate, 0.001, is not used where there are phases, and was what the card showed."""
    recipe = load_recipe("nih_densenet121").to_dict()
    recipe["train"]["learning_rate"] = 0.123
    facts = facts_of(recipe)
    assert "0.123" not in " ".join(facts.values())
    assert facts["Phases"].split("; ") == [
        "1. head: 8 epochs at most, peak learning rate 0.001, the head alone learns, no augmentation",
        "2. top: 2 epochs at most, peak learning rate 0.0002, the head and 2 blocks below it learns, times 0.7 for "
        "each block further down, warm-up 0.2 epochs, statistics of normalisation kept",
        "3. all: 12 epochs at most, peak learning rate 0.0002, all of the network learns, times 0.85 for each block "
        "further down, warm-up 0.5 epochs",
    ]
    assert facts["Mirror image at the answer (flip)"].startswith("yes")
    assert "flip horizontal on" in facts["Augmentation"]
    assert facts["Average of weights (EMA)"].startswith("momentum 0.999")


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("none", "none: drawn at random"),
        ("imagenet", "ImageNet (published by Keras), sha256 abababababab"),
        ("phantoms", "learnt from drawn X-rays (phantoms), sha256 abababababab"),
        ("models:/cxr_multilabel/3", "models:/cxr_multilabel/3"),
        ("mine.keras", "mine.keras, sha256 abababababab"),
    ],
)
def test_starting_weights_are_named_with_what_they_were(facts_of, named, told):
    recipe = load_recipe("kermany_cnn").to_dict()
    recipe["train"]["starting_weights"] = named
    kept = {} if "sha256" not in told else {"sha256 of train.starting_weights": "ab" * 32}
    assert facts_of(recipe, **kept)["Starting weights"] == told


def test_label_policies_are_told_of_the_labels_there_were(facts_of):
    recipe = load_recipe("chexpert_densenet121").to_dict()
    counts = {
        "atelectasis": {"positive": 9, "uncertain": 5, "unmentioned": 0},
        "consolidation": {"positive": 9, "uncertain": 3, "unmentioned": 2},
        "fracture": {"positive": 9, "uncertain": 1, "unmentioned": 0},
        "edema": {"positive": 9, "uncertain": 0, "unmentioned": 0},
    }
    told = facts_of(recipe, {"labels": counts}, findings=tuple(counts))["Labels"]
    assert told == (
        "uncertain ones (9): atelectasis: taken as positive; consolidation: left out of the loss, as there was no "
        "first model; fracture: left out of the loss; findings that are not mentioned (2): taken as negative"
    )


@pytest.mark.parametrize(
    ("loss", "told"),
    [
        ({"kind": "weighted_bce"}, "cross-entropy, label smoothing 0.05"),
        ({"kind": "focal", "gamma": 2.0, "margin": 1.0}, "focal, gamma 2, label smoothing 0.05"),
        ({"kind": "auc_margin", "margin": 1.0, "epoch_decay": 0.002}, "AUC margin, margin 1, epoch decay 0.002, label"),
    ],
)
def test_of_a_loss_the_numbers_that_it_uses_are_told(facts_of, loss, told):
    recipe = copy.deepcopy(load_recipe("kermany_cnn").to_dict())
    recipe["train"]["loss"] = loss
    assert facts_of(recipe)["Loss"].startswith(told)


def test_a_recipe_of_older_code_is_told_as_far_as_it_goes(facts_of):
    recipe = load_recipe("kermany_cnn").to_dict()
    for name in ("phases", "labels", "loss", "ema_momentum", "test_time_flip", "starting_weights", "stress_views"):
        del recipe["train"][name]
    facts = facts_of(recipe)
    assert "Loss" not in facts and "Labels" not in facts
    assert facts["Phases"].startswith("1. all: 40 epochs at most, peak learning rate 0.002, all of the network learns")

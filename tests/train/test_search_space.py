from __future__ import annotations

import dataclasses
import math

import pytest

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.recipes import Recipe, load_recipe
from cxr_tasks.contracts.train_specs import SearchSpec
from cxr_tasks.train.candidates.search_space import Dimension, choices_of, dimensions_of


def searching(space: dict, n_candidates: int = 2) -> Recipe:
    search = SearchSpec(n_candidates=n_candidates, space=space)
    return dataclasses.replace(load_recipe("kermany_cnn"), search=search)


@pytest.mark.parametrize(
    ("dotted", "values", "expected", "n_values"),
    [
        ("train.loss.kind", ["focal", "asymmetric"], {"choices": ("focal", "asymmetric")}, 2),
        ("train.clip_norm", {"low": 0.1, "high": 9, "log": True}, {"low": 0.1, "high": 9, "is_log": True}, math.inf),
        ("train.batch_size", {"low": 16, "high": 64}, {"low": 16, "high": 64, "is_whole": True}, 49),
        ("train.label_smoothing", {"low": 0, "high": 1}, {"low": 0, "high": 1}, math.inf),  # YAML writes 0.0 as 0
    ],
)  # fmt: skip
def test_choices_and_ranges(dotted, values, expected, n_values):
    (found,) = dimensions_of(searching({dotted: values}))
    assert found == Dimension(dotted=dotted, **expected) and found.n_values == n_values


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "expected settings to vary, found none"),
        ({"train.learning_rte": [1e-3, 1e-2]}, "did you mean 'train.learning_rate'"),
        ({"train.loss.kind": ["focal", "focl"]}, "'focl' is not known; did you mean 'focal'?"),
        ({"train.learning_rate": {"low": 1e-3, "high": 100.0}}, "expected a value from 1e-08 to 10, found 100.0"),
        ({"train.learning_rate": {"low": 1e-2, "high": 1e-3}}, "expected low below high"),
        ({"train.label_smoothing": {"low": 0, "high": 0.1, "log": True}}, "expected low above 0, below high"),
        ({"train.learning_rate": {"low": 1e-3, "hi": 1e-2}}, "'hi' is not known; did you mean 'high'?"),
        ({"train.learning_rate": {"low": 1e-3}}, "high: expected a number, found None"),
        ({"train.seed": 3}, "expected a list of choices or {low, high, log}, found 3"),
        ({"train.seed": []}, "expected at least one choice"),
        ({"train.seed": [1, 1, 2]}, "found some twice"),
        ({"train.stress_views": [0, 2]}, "is not open to candidates"),
        ({"train.seed": [1]}, "expected at least as many different candidates as n_candidates, 2; the space holds 1"),
    ],
)
def test_a_wrong_space_is_named(space, message):
    with pytest.raises(ConfigurationError) as caught:
        dimensions_of(searching(space))
    assert "kermany_cnn, search" in str(caught.value) and message in str(caught.value)


def test_the_combinations_of_a_part():
    space = {
        "pixels.size_px": [96, 160],
        "pixels.fit": ["stretch", "crop"],
        "train.learning_rate": {"low": 1e-4, "high": 1e-2},
    }
    assert choices_of(searching(space), "pixels") == [
        {"pixels.size_px": size, "pixels.fit": fit} for size in (96, 160) for fit in ("stretch", "crop")
    ]
    with pytest.raises(ConfigurationError, match="expected a list of choices, found a range"):
        choices_of(searching({"pixels.size_px": {"low": 96, "high": 160}}), "pixels")

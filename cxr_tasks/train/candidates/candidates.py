"""Candidates of a recipe: settings laid over it, each a whole recipe of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.train.candidates.recipe_settings import with_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One of the models that a recipe has trained, before it is trained."""

    number: int
    """From 1, in the order of the recipe's list."""
    name: str
    """What differs, for people: ``learning_rate=0.0003 seed=2``."""
    settings: dict[str, Any]
    """Dotted name of a setting -> value, where it differs from the recipe."""
    recipe: Recipe
    """The recipe with ``settings``."""


def candidates_of(recipe: Recipe) -> list[Candidate]:
    """The candidates that ``recipe`` lists; one, the recipe as it is, where it lists none.

    Raises:
        ConfigurationError: A setting is not known, not open to candidates or of a wrong value; two candidates are the
            same; or the recipe has a search space, whose candidates are not known beforehand.
    """
    if recipe.search is not None:
        known = " and a list of candidates" if recipe.candidates else ""
        raise ConfigurationError(
            f"recipe {recipe.name}: expected a list of candidates, found a search space{known}; a recipe has one or "
            "the other, and a search proposes each candidate when its training starts"
        )
    made: list[Candidate] = []
    for number, settings in enumerate(recipe.candidates or ({},), start=1):
        made.append(make_candidate(recipe, number, settings))
        twin = next((earlier for earlier in made[:-1] if earlier.recipe.sha256 == made[-1].recipe.sha256), None)
        if twin is not None:
            raise ConfigurationError(
                f"recipe {recipe.name}: candidates {twin.number} and {number} are the same ({made[-1].name}); let one "
                "go, or give it another train.seed"
            )
    return made


def make_candidate(recipe: Recipe, number: int, settings: Mapping[str, Any]) -> Candidate:
    """Candidate ``number`` with ``settings`` over ``recipe``; faults are named with the candidate's number."""
    where = f"recipe {recipe.name}, candidate {number}"
    return Candidate(
        number=number,
        name=name_of(settings),
        settings=dict(settings),
        recipe=with_settings(recipe, settings, where),
    )


def name_of(settings: Mapping[str, Any]) -> str:
    """Settings as people read them, without the part of the recipe that they stand in.

    >>> name_of({"train.learning_rate": 3e-4, "train.loss.kind": "focal"})
    'learning_rate=0.0003 loss.kind=focal'
    """
    parts = [f"{dotted.partition('.')[2] or dotted}={_shown(value)}" for dotted, value in settings.items()]
    return " ".join(parts) or "recipe as it is"


def datasets_needed(recipe: Recipe) -> list[PixelSpec]:
    """Pixels that datasets have to be prepared with for all candidates, the recipe's own first.

    A resolution is a property of a prepared dataset, not of a training: pixels are made once, from the original files,
    in the way in which the server makes them. A stored image scaled a second time would be another image, and a model
    trained on such images would be served other pixels than it has seen. So a candidate of another ``pixels.size_px``
    trains on a dataset of that size, prepared from the same manifest.
    """
    if recipe.search is not None:
        from cxr_tasks.train.candidates.search_space import choices_of

        options = choices_of(recipe, "pixels")
        pixels = [with_settings(recipe, option).pixels for option in options]
    else:
        pixels = [candidate.recipe.pixels for candidate in candidates_of(recipe)]
    return list(dict.fromkeys([recipe.pixels, *pixels]))


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

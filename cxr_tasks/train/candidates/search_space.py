"""The space of a search: which settings it varies, checked against the recipe before anything is trained."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cxr_tasks.contracts.errors import ConfigurationError, nearest
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.train.candidates.recipe_settings import setting_of, with_settings

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

RANGE_KEYS = ("low", "high", "log")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """One setting of the space: choices, or a range with both ends in it."""

    dotted: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    is_log: bool = False
    is_whole: bool = False
    """Whole numbers only: both ends are, and so is the recipe's own value."""

    @property
    def n_values(self) -> float:
        """How many values there are; infinite for a range of fractions."""
        if self.choices:
            return len(self.choices)
        return self.high - self.low + 1 if self.is_whole else math.inf

    @property
    def probes(self) -> tuple[Any, ...]:
        """Values that are right if all are: the choices, or the ends."""
        return self.choices or tuple(int(bound) if self.is_whole else bound for bound in (self.low, self.high))

    def all_values(self) -> list[Any]:
        """Every value there is; for choices and whole numbers only."""
        return list(self.choices or range(int(self.low), int(self.high) + 1))

    def holds(self, value: Any) -> bool:
        if self.choices:
            return self.encoded(value) in [self.encoded(choice) for choice in self.choices]
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return is_number and self.low <= value <= self.high

    def encoded(self, value: Any) -> Any:
        """As Optuna takes it: a choice as text, as Optuna knows no lists and takes 1 and true for the same."""
        return json.dumps(value, sort_keys=True) if self.choices else value

    def decoded(self, value: Any) -> Any:
        return next(choice for choice in self.choices if self.encoded(choice) == value) if self.choices else value

    def distribution(self) -> BaseDistribution:
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.choices:
            return CategoricalDistribution([self.encoded(choice) for choice in self.choices])
        if self.is_whole:
            return IntDistribution(int(self.low), int(self.high), log=self.is_log)
        return FloatDistribution(self.low, self.high, log=self.is_log)


def dimensions_of(recipe: Recipe) -> list[Dimension]:
    """The space of ``recipe.search``, each value tried in a recipe.

    Raises:
        ConfigurationError: An unknown setting, a value that the recipe refuses, a range that is none, or fewer
            different candidates than ``n_candidates``.
    """
    search, where = recipe.search, f"recipe {recipe.name}, search"
    if search is None:
        raise ConfigurationError(f"{where}: expected a search space, found none")
    if recipe.candidates:
        raise ConfigurationError(f"{where}: found a list of candidates too; a recipe has one or the other")
    if not search.space:
        raise ConfigurationError(f"{where}.space: expected settings to vary, found none")
    dimensions = [_dimension(recipe, dotted, values, where) for dotted, values in search.space.items()]
    for dimension in dimensions:
        for value in dimension.probes:
            with_settings(recipe, {dimension.dotted: value}, f"{where}.space")
    n_different = math.prod(dimension.n_values for dimension in dimensions)
    if n_different < search.n_candidates:
        raise ConfigurationError(
            f"{where}: expected at least as many different candidates as n_candidates, {search.n_candidates}; the "
            f"space holds {n_different:g}; widen it, or list them under candidates"
        )
    return dimensions


def choices_of(recipe: Recipe, part: str) -> list[dict[str, Any]]:
    """Every combination of the settings of ``part`` that the space varies.

    Raises:
        ConfigurationError: One of them is a range: what has to be made beforehand must be listed.
    """
    wanted = [dimension for dimension in dimensions_of(recipe) if dimension.dotted.startswith(f"{part}.")]
    for dimension in wanted:
        if not dimension.choices:
            raise ConfigurationError(
                f"recipe {recipe.name}, search.space.{dimension.dotted}: expected a list of choices, found a range; "
                "a dataset is prepared for each value beforehand"
            )
    return [
        dict(zip([dimension.dotted for dimension in wanted], values, strict=True))
        for values in itertools.product(*(dimension.choices for dimension in wanted))
    ]


def _dimension(recipe: Recipe, dotted: str, values: Any, where: str) -> Dimension:
    current, place = setting_of(recipe, dotted, f"{where}.space"), f"{where}.space.{dotted}"
    if isinstance(values, (list, tuple)):
        if not values:
            raise ConfigurationError(f"{place}: expected at least one choice, found none")
        texts = [json.dumps(value, sort_keys=True) for value in values]
        if len(set(texts)) < len(texts):
            raise ConfigurationError(f"{place}: expected different choices, found some twice: {', '.join(texts)}")
        return Dimension(dotted=dotted, choices=tuple(values))
    if not isinstance(values, Mapping):
        raise ConfigurationError(f"{place}: expected a list of choices or {{low, high, log}}, found {values!r}")
    for key in values:
        if key not in RANGE_KEYS:
            raise ConfigurationError(
                f"{place}: {key!r} is not known{nearest(str(key), RANGE_KEYS)}; known: {', '.join(RANGE_KEYS)}"
            )
    low, high = (_number(values.get(key), f"{place}.{key}") for key in ("low", "high"))
    is_log = values.get("log", False)
    if not isinstance(is_log, bool):
        raise ConfigurationError(f"{place}.log: expected true or false, found {is_log!r}")
    if not low < high or (is_log and low <= 0):
        above = "above 0, " if is_log else ""
        raise ConfigurationError(f"{place}: expected low {above}below high, found low {low!r} and high {high!r}")
    is_whole = isinstance(low, int) and isinstance(high, int) and not isinstance(current, float)
    return Dimension(dotted=dotted, low=low, high=high, is_log=is_log, is_whole=is_whole)


def _number(value: Any, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ConfigurationError(f"{place}: expected a number, found {value!r}")
    return value

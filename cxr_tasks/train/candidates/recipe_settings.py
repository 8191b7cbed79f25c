"""Single settings of a recipe by their path: which a search or comparison may change, read and changed."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

from cxr_tasks.contracts.errors import ConfigurationError, nearest
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.registry.run_log import flatten
from cxr_tasks.train.data.label_treatment import policies_of

#: Parts of a recipe in which candidates may differ. Data, splits, assessment and gate are what they are compared by.
OPEN_PARTS = ("train", "pixels")


#: Mappings with keys of their own; the code that reads them knows which are right.
FREE_MAPPINGS = ("train.network_options", "train.labels.uncertain_by_finding")


#: Settings that stand for the one phase of a recipe without phases, and are not read where there are some.
OF_ONE_PHASE = ("epochs", "learning_rate", "warmup_epochs", "early_stopping_patience")


def with_settings(recipe: Recipe, settings: Mapping[str, Any], where: str = "settings") -> Recipe:
    """``recipe`` with ``settings`` in the places that their dotted names say, every value checked.

    Items of a list are named by their number from 0 or by their own ``name``: ``train.phases.head.learning_rate``.

    Raises:
        ConfigurationError: A name or value is not right; the nearest right name is given.
    """
    mapping = copy.deepcopy(recipe.to_dict())
    for dotted, value in settings.items():
        holder, key = _place(mapping, dotted, where)
        holder[key] = value
    # Its own list would make each candidate have candidates.
    candidate = dataclasses.replace(Recipe.from_dict(mapping, where), candidates=(), search=None)
    for name, before, after in (
        ("train.stress_views", recipe.train.stress_views, candidate.train.stress_views),
        ("train.labels.unmentioned", recipe.train.labels.unmentioned, candidate.train.labels.unmentioned),
    ):
        if before != after:
            raise ConfigurationError(
                f"{where}: {name} is not open to candidates, expected {before!r} as in the recipe, found {after!r}: it "
                "changes what validation measures, and their scores could not be compared; set it for all"
            )
    if candidate.train.phases:
        for dotted in settings:
            if dotted in {f"train.{name}" for name in OF_ONE_PHASE}:
                phases = ", ".join(f"train.phases.{phase.name}" for phase in candidate.train.phases)
                raise ConfigurationError(
                    f"{where}: {dotted} has no effect in a recipe with phases; set it below one of {phases}"
                )
    try:
        policies_of(candidate.findings, candidate.train.labels)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from None
    return candidate


def setting_of(recipe: Recipe, dotted: str, where: str = "settings") -> Any:
    """The value that ``recipe`` has at ``dotted``; None where a mapping with keys of its own lacks it."""
    holder, key = _place(recipe.to_dict(), dotted, where)
    return holder.get(key) if isinstance(holder, dict) else holder[key]


def _place(mapping: dict[str, Any], dotted: str, where: str) -> tuple[Any, Any]:
    """The mapping or list that holds the setting, and the setting's key in it."""
    words = dotted.split(".")
    if words[0] not in OPEN_PARTS:
        raise _not_open(mapping, dotted, where)
    holder: Any = mapping
    for depth, word in enumerate(words):
        above = ".".join(words[:depth])
        key: Any = word
        if isinstance(holder, list):
            names = [str(item.get("name", i)) if isinstance(item, dict) else str(i) for i, item in enumerate(holder)]
            key = names.index(word) if word in names else int(word) if word.isdigit() else -1
            if not 0 <= key < len(holder):
                raise _unknown(dotted, above, word, names, where)
        elif not isinstance(holder, dict):
            raise ConfigurationError(f"{where}: {dotted!r} is not known; {above} holds no settings")
        elif word not in holder and not (depth == len(words) - 1 and above in FREE_MAPPINGS):
            raise _unknown(dotted, above, word, list(holder), where)
        if depth < len(words) - 1:
            holder = holder[key]
    return holder, key


def _not_open(mapping: dict[str, Any], dotted: str, where: str) -> ConfigurationError:
    known = [f"{part}.{name}" for part in OPEN_PARTS for name in flatten(mapping[part])]
    meant = next((name for name in known if name.partition(".")[2] == dotted), None)
    hint = f"; did you mean {meant!r}?" if meant else nearest(dotted, known)
    return ConfigurationError(
        f"{where}: {dotted!r} is not open to candidates{hint}; they differ in {' and '.join(OPEN_PARTS)}; "
        "what they are trained on and measured by is the same for all"
    )


def _unknown(dotted: str, above: str, word: str, known: list[str], where: str) -> ConfigurationError:
    close = nearest(word, known).replace("did you mean '", f"did you mean '{above}.")
    return ConfigurationError(
        f"{where}: {dotted!r} is not known{close}; known below {above}: {', '.join(known) or 'nothing'}"
    )

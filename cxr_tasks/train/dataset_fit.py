"""Whether a stored dataset is what a recipe asks for: its findings, its pixels, and the code that stored it."""

from __future__ import annotations

import dataclasses

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.datasets.latest import stored_pixels
from cxr_tasks.images.version import PREPARE_VERSION


def check_fit(prepared: PreparedDataset, recipe: Recipe) -> None:
    """``ConfigurationError`` unless ``prepared`` has the pixels and the findings that ``recipe`` asks for.

    Pixels of another definition have no trace in their shape: a model would be trained on them, and served others.
    """
    pixels = stored_pixels(prepared).spec
    for name, stored, asked in (
        ("pixels.size_px", prepared.size_px, recipe.pixels.size_px),
        *(
            (f"pixels.{field.name}", getattr(pixels, field.name), getattr(recipe.pixels, field.name))
            for field in dataclasses.fields(pixels)
        ),
        ("dataset.vocabulary", prepared.vocabulary, recipe.dataset.vocabulary),
    ):
        if stored != asked:
            raise ConfigurationError(
                f"recipe {recipe.name}: {name} is {asked!r}, the dataset {prepared.dataset} was prepared with "
                f"{stored!r}; prepare it with this recipe"
            )


def check_version(prepared: PreparedDataset, recipe: Recipe) -> None:
    """``ConfigurationError`` unless ``prepared`` was stored by the preparation of today, whose pixels are served."""
    stored = stored_pixels(prepared).prepare_version
    if stored != PREPARE_VERSION:
        by = "before its version was kept" if stored is None else f"by version {stored} of the preparation"
        raise ConfigurationError(
            f"recipe {recipe.name}: the dataset {prepared.dataset} ({prepared.fingerprint[:8]}) was prepared {by}, "
            f"expected version {PREPARE_VERSION}: what is served would not be what was trained on. Prepare it again "
            "with this recipe ('cxr trigger')"
        )

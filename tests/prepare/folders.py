"""Folders of prepared datasets without pixels, for tests that only read what stands beside them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pandas as pd

from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
from cxr_tasks.contracts.labels import SPLITS
from cxr_tasks.contracts.recipes import Recipe, load_recipe
from cxr_tasks.contracts.shapes import plain
from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.datasets.latest import dataset_of
from cxr_tasks.installation.patient_keys import patient_secret
from cxr_tasks.installation.storage.files import sha256_file, write_json
from cxr_tasks.installation.storage.paths import datasets_root
from cxr_tasks.prepare.index_rows import index_of
from cxr_tasks.prepare.split_statistics import PixelProfile, split_statistics
from tests.builders import manifest_table

RECIPE = load_recipe("synthetic_binary")


def manifest_of(n_patients: int = 6, **columns: Any) -> pd.DataFrame:
    """Two images of each of ``n_patients`` patients, a third of them in each split."""
    numbers = [number for number in range(n_patients) for _ in range(2)]
    given = {"patient_id": [f"p{number}" for number in numbers], "split": [SPLITS[number % 3] for number in numbers]}
    return manifest_table(len(numbers), **(given | columns))


def with_vocabulary(vocabulary: str, recipe: Recipe = RECIPE) -> Recipe:
    """The same recipe, and so the same dataset, with other findings."""
    return dataclasses.replace(recipe, dataset=dataclasses.replace(recipe.dataset, vocabulary=vocabulary))


def stored_folder(
    fingerprint: str, manifest: pd.DataFrame, *, recipe: Recipe = RECIPE, made_at: str = "2026-11-23T10:00:00+00:00"
) -> PreparedDataset:
    """A version of the recipe's dataset in ``datasets_root()``; ``fingerprint`` is filled up with zeros."""
    fingerprint = fingerprint.ljust(64, "0")
    folder = datasets_root() / recipe.dataset.name / fingerprint[:16]
    folder.mkdir(parents=True)
    vocabulary = recipe.dataset.vocabulary
    index = index_of(manifest, vocabulary, PixelSpec(), salt=recipe.split.salt, secret=patient_secret())
    index.to_parquet(folder / "index.parquet", index=False)
    statistics = {one: split_statistics(index[index["split"] == one], vocabulary, PixelProfile()) for one in SPLITS}
    write_json(folder / "statistics.json", statistics)
    write_json(
        folder / "provenance.json",
        {
            "dataset": recipe.dataset.name,
            "fingerprint": fingerprint,
            "vocabulary": vocabulary,
            "pixels": plain(recipe.pixels),
            "index_sha256": sha256_file(folder / "index.parquet"),
            "recipe": recipe.name,
            "settings": {"split": plain(recipe.split), "pixels": plain(recipe.pixels)},
            "n_left_out": 0,
            "made_at": made_at,
            "versions": {"prepare": 2},
        },
    )
    return dataset_of(recipe.dataset.name, fingerprint)

"""Builders for the tests of evaluation: predictions tables, and a small prepared dataset with a model."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxr_tasks.contracts.handoffs.dataset import PreparedDataset, ValidatedStudies
from cxr_tasks.contracts.handoffs.training import TrainedModel
from cxr_tasks.contracts.recipes import Recipe, load_recipe
from cxr_tasks.contracts.records import logit_column, target_column
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.installation.storage.files import reference_to, sha256_file
from cxr_tasks.installation.storage.paths import RunPaths
from tests.builders import manifest_table


def build_predictions(
    *,
    n_validation: int = 120,
    n_test: int = 200,
    findings: tuple[str, ...] = ("pneumonia",),
    separation: float = 2.5,
    shift: float = 0.0,
    prevalence: float = 0.6,
    images_per_patient: int = 2,
    seed: int = 0,
) -> pd.DataFrame:
    """Scores with an AUROC of about Phi(separation / sqrt(2)); test logits are moved by ``shift``."""
    rng = np.random.default_rng(seed)
    parts = []
    for split, n, moved in (("validation", n_validation, 0.0), ("test", n_test, shift)):
        part = pd.DataFrame(
            {
                "image_id": [f"{split}/{i:05d}.png" for i in range(n)],
                "patient_key": [f"{split[0]}{i // images_per_patient:015d}" for i in range(n)],
                "split": split,
                "source": "synthetic",
                "view": rng.choice(["ap", "pa"], n),
                "sex": rng.choice(["female", "male"], n),
                "age_years": rng.uniform(1, 90, n),
            }
        )
        for finding in findings:
            target = (rng.random(n) < prevalence).astype(float)
            part[target_column(finding)] = target
            part[logit_column(finding)] = rng.normal(size=n) + separation * target + moved
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="session")
def make_predictions() -> Callable[..., pd.DataFrame]:
    return build_predictions


SIZE_PX = 32
COUNTS = {"train": 48, "validation": 40, "test": 60}


def write_images(root: Path) -> pd.DataFrame:
    """A folder of small pictures and its manifest: positives have a brighter patch, some too faint to tell."""
    rng = np.random.default_rng(3)
    rows: list[dict[str, Any]] = []
    for split, n in COUNTS.items():
        for i in range(n):
            is_positive = i % 5 < 3
            width = SIZE_PX + (8 if is_positive and i % 2 else 0)
            pixels = rng.normal(100, 12, (SIZE_PX, width))
            pixels[8:24, 4:16] += rng.uniform(2, 70) * is_positive
            path = root / split / f"person{i:03d}_{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)
            rows.append(
                {
                    "image_id": path.relative_to(root).as_posix(),
                    "patient_id": f"{split}{i // 2}",
                    "view": ("pa", "ap")[i % 2],
                    "split": split,
                    "boxes": json.dumps([{"finding": "pneumonia", "x": 4, "y": 8, "width": 12, "height": 16}])
                    if is_positive
                    else "[]",
                    "file_sha256": sha256_file(path),
                    "pixel_hash": hashlib.sha256(b"pixels" + path.read_bytes()).hexdigest()[:32],
                    "perceptual_hash": hashlib.sha256(b"look" + path.read_bytes()).hexdigest(),
                    "width_px": width,
                    "height_px": SIZE_PX,
                    "label_pneumonia": "positive" if is_positive else "negative",
                }
            )
    rows.sort(key=lambda row: str(row["image_id"]))
    return manifest_table(len(rows), **{name: [row[name] for row in rows] for name in rows[0]})


def small_network() -> Any:
    """A network with fixed weights that answers to bright area: no training needed, right for most images."""
    import keras

    image = keras.Input((SIZE_PX, SIZE_PX, 1))
    smooth = keras.layers.AveragePooling2D(4)(image)
    maps = keras.layers.Conv2D(2, 1, name="maps", kernel_initializer="zeros")(smooth)
    features = keras.layers.Activation("relu", name="features")(maps)
    pooled = keras.layers.GlobalAveragePooling2D()(features)
    model = keras.Model(image, keras.layers.Dense(1, name="head")(pooled))
    model.get_layer("maps").set_weights([np.array([[[[1.0, -1.0]]]]), np.array([-100 / 255, 100 / 255])])
    model.get_layer("head").set_weights([np.array([[90.0], [-20.0]]), np.array([-1.5])])
    return model


@dataclass(frozen=True)
class Tiny:
    """A prepared dataset and a model with its MLflow run, in a run-time folder of their own."""

    trained: TrainedModel
    prepared: PreparedDataset
    recipe: Recipe
    home: Path


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    from cxr_tasks.prepare.stage import prepare_dataset
    from cxr_tasks.registry.tracking import open_run

    home, root = tmp_path_factory.mktemp("var"), tmp_path_factory.mktemp("images")
    recipe = load_recipe("synthetic_binary")
    recipe = dataclasses.replace(
        recipe,
        pixels=dataclasses.replace(recipe.pixels, size_px=SIZE_PX),
        evaluate=EvaluateSpec(bootstrap_samples=200),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXR_HOME", str(home))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        write_images(root).to_parquet(home / "manifest.parquet")
        (home / "validation.json").write_text("{}")
        (home / "profile.json").write_text("{}")
        validated = ValidatedStudies(
            dataset=recipe.dataset.name,
            root=str(root),
            manifest=reference_to(home / "manifest.parquet"),
            validation=reference_to(home / "validation.json"),
            profile=reference_to(home / "profile.json"),
            data_docs="",
            n_expectations=0,
            n_warnings=0,
        )
        prepared = prepare_dataset(validated, recipe, RunPaths(home / "runs" / "prepare"))
        small_network().save(home / "model.keras")
        (home / "history.json").write_text("[]")
        with open_run(recipe.model_name, "train") as run:
            run_id = run.run_id
        trained = TrainedModel(
            model_name=recipe.model_name,
            recipe_sha256=recipe.sha256,
            dataset_fingerprint=prepared.fingerprint,
            mlflow_run_id=run_id,
            model=reference_to(home / "model.keras"),
            history=reference_to(home / "history.json"),
            best_epoch=1,
            epochs_run=1,
            val_auroc=0.9,
            seconds=1.0,
        )
        yield Tiny(trained, prepared, recipe, home)

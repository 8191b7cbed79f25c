"""Small prepared datasets for the tests of ``train``: two classes that a tiny network learns in a few epochs."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from cxr_tasks.contracts.handoffs.dataset import PreparedDataset, ValidatedStudies
from cxr_tasks.contracts.labels import SPLITS
from cxr_tasks.contracts.recipes import Recipe, load_recipe
from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.contracts.train_specs import AugmentSpec, TrainSpec
from cxr_tasks.installation.storage.files import reference_to
from cxr_tasks.installation.storage.paths import RunPaths
from tests.builders import manifest_table

SIZE_PX = 16


@pytest.fixture(scope="session")
def tiny_recipe() -> Recipe:
    """Trains in seconds and uses every part whose state a resumed run has to bring back."""
    recipe = dataclasses.replace(
        load_recipe("synthetic_binary"),
        pixels=PixelSpec(size_px=SIZE_PX),
        train=TrainSpec(
            network="residual_cnn",
            network_options={"widths": [4, 8], "dropout": 0.3, "instance_norm_stages": 1},
            epochs=4,
            batch_size=8,
            learning_rate=0.01,
            label_smoothing=0.05,
            ema_momentum=0.9,
            stress_views=1,
            precision="float32",
            seed=7,
            augment=AugmentSpec(rotate_degrees=5, shift=0.05, crop=0.1, gamma=0.2, noise=0.02, blur=0.3, mix=0.1),
        ),
    )
    return Recipe.from_dict(recipe.to_dict())  # numbers as a file would give them: the hash knows 5 from 5.0


@pytest.fixture
def op_by_op() -> Iterator[None]:
    """Nothing is traced, which takes longer than a few small steps do. For tests of what goes on around the steps."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def two_classes(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """uint8 ``(n, size, size, 1)`` noise, half of it with a bright spot, and labels float32 ``(n, 1)``."""
    rng = np.random.default_rng(seed)
    images = rng.integers(40, 120, (n, SIZE_PX, SIZE_PX, 1))
    labels = np.arange(n) % 2
    images[labels == 1, 5:11, 5:11] += 100
    return images.astype(np.uint8), labels[:, None].astype(np.float32)


@pytest.fixture
def make_split():
    """A builder of loaded splits of ``two_classes``."""

    def make(n: int, seed: int = 0):
        from cxr_tasks.datasets.load import LoadedSplit

        return LoadedSplit(*two_classes(n, seed))

    return make


@pytest.fixture
def prepare_tiny(tmp_path: Path) -> Callable[..., PreparedDataset]:
    """A function that writes images of two classes and prepares them for real (set ``CXR_HOME`` first).

    The labels of the first ``n_uncertain`` training images are uncertain.
    """

    def prepare(recipe: Recipe, n_uncertain: int = 0) -> PreparedDataset:
        from PIL import Image

        from cxr_tasks.prepare.stage import prepare_dataset

        root = tmp_path / "source"
        root.mkdir(exist_ok=True)
        images, labels = two_classes(48)
        files = [root / f"{number:03d}.png" for number in range(len(images))]
        for file, image in zip(files, images, strict=True):
            Image.fromarray(image[..., 0]).save(file)
        manifest = manifest_table(
            len(files),
            image_id=[file.name for file in files],
            patient_id=[file.stem for file in files],
            split=[SPLITS[0] if number < 32 else SPLITS[1 + number // 40] for number in range(len(files))],
            file_sha256=[hashlib.sha256(file.read_bytes()).hexdigest() for file in files],
            pixel_hash=[hashlib.sha256(b"pixels" + file.read_bytes()).hexdigest()[:32] for file in files],
            perceptual_hash=[hashlib.sha256(b"look" + file.read_bytes()).hexdigest() for file in files],
            view="pa",
            width_px=SIZE_PX,
            height_px=SIZE_PX,
            label_pneumonia=[
                "uncertain" if number < n_uncertain else "positive" if label[0] else "negative"
                for number, label in enumerate(labels)
            ],
        )
        manifest.to_parquet(tmp_path / "manifest.parquet")
        (tmp_path / "profile.json").write_text("{}")
        reference = reference_to(tmp_path / "manifest.parquet")
        studies = ValidatedStudies(
            dataset=recipe.dataset.name,
            root=str(root),
            manifest=reference,
            validation=reference,
            profile=reference_to(tmp_path / "profile.json"),
            data_docs="",
            n_expectations=0,
            n_warnings=0,
        )
        return prepare_dataset(studies, recipe, RunPaths.for_run("prepare", "1"))

    return prepare

"""A small model with the layers that serving relies on, and its contract."""

from __future__ import annotations

import pytest

from cxr_tasks.contracts.serving_contract import FindingDecision, ServingContract
from cxr_tasks.contracts.specs import PixelSpec


@pytest.fixture(scope="session")
def contract() -> ServingContract:
    return ServingContract(
        model_name="cxr_binary",
        pixels=PixelSpec(size_px=32),
        decisions=(FindingDecision(finding="pneumonia", a=1.7, b=-0.3, threshold=0.45),),
        dataset="made",
        dataset_fingerprint="ab" * 32,
        recipe="made",
        recipe_sha256="cd" * 32,
    )


@pytest.fixture(scope="session")
def small_model():
    """An untrained model whose answers differ from image to image."""
    import keras

    keras.utils.set_random_seed(3)
    image = keras.Input((32, 32, 1))
    features = keras.layers.Conv2D(6, 5, strides=2, activation="relu", name="features")(image)
    pooled = keras.layers.GlobalAveragePooling2D()(features)
    logits = keras.layers.Dense(1, name="head", kernel_initializer=keras.initializers.RandomNormal(stddev=3))(pooled)
    return keras.Model(image, logits)


@pytest.fixture(scope="session")
def exported(small_model, contract, tmp_path_factory):
    """The model as version folder ``cxr_binary/3``."""
    from serving.export import export_saved_model

    folder = tmp_path_factory.mktemp("exported") / "cxr_binary" / "3"
    folder.parent.mkdir()
    return export_saved_model(small_model, contract, folder)

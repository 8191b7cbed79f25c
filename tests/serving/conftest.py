"""A small model with the layers that serving relies on, its contract, and a platform that serves it."""

from __future__ import annotations

import dataclasses
import os
import shutil

import pytest

from cxr_tasks.contracts.serving_contract import FindingDecision, ServingContract
from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.installation.settings import StackSettings
from serving.client import running


@pytest.fixture(scope="session")
def contract(small_model) -> ServingContract:
    return ServingContract(
        model_name="cxr_binary",
        pixels=PixelSpec(size_px=32),
        decisions=(FindingDecision(finding="pneumonia", a=1.7, b=-0.3, threshold=0.45),),
        dataset="made",
        dataset_fingerprint="ab" * 32,
        recipe="made",
        recipe_sha256="cd" * 32,
        typicality=_fitted_on_golden_images(small_model),
    )


def _fitted_on_golden_images(model):
    """What is typical, of fields like the golden images; some of those are then usual and some are not."""
    import tensorflow as tf

    from cxr_tasks.images.batches import batch_pixels
    from cxr_tasks.statistics.typicality import fit
    from serving.export.golden import golden_images
    from serving.export.typicality import with_pooled_features

    files = [image for seed in range(12) for image in golden_images(seed).values()]
    _, features = with_pooled_features(model)(batch_pixels(tf.constant(files), PixelSpec(size_px=32)))
    return fit(features.numpy()[:80], features.numpy()[80:])


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
    from serving.export.saved_model import export_saved_model

    folder = tmp_path_factory.mktemp("exported") / "cxr_binary" / "3"
    folder.parent.mkdir()
    return export_saved_model(small_model, contract, folder)


class Platform:
    """One model behind a running model server, its registry, and versions of it that are ready to be released."""

    def __init__(self, settings, exported):
        self.settings, self.exported = settings, exported

    def registered(self, version: int):
        from cxr_tasks.contracts.handoffs.release import RegisteredModel
        from cxr_tasks.registry import versions

        found = next(one for one in versions.model_versions("cxr_binary") if int(one.version) == version)
        return RegisteredModel(
            model_name="cxr_binary", version=version, mlflow_run_id=str(found.run_id), alias="champion"
        )

    def new_version(self, exported=None, *, is_champion: bool = True):
        """A further version in the registry, exported and checked; champion, as a rule."""
        from cxr_tasks.contracts.handoffs.release import RegisteredModel
        from cxr_tasks.registry import tracking, versions
        from serving.export.exports import find_export, kept_export

        with tracking.open_run("cxr_binary", "made") as log:
            made = tracking.client().create_model_version(
                "cxr_binary", source=str(self.settings.home), run_id=log.run_id
            )
        registered = RegisteredModel(
            model_name="cxr_binary", version=int(made.version), mlflow_run_id=log.run_id, alias="champion"
        )
        if is_champion:
            versions.set_alias("cxr_binary", "champion", registered.version)
        with kept_export(registered) as folder:
            shutil.copytree(exported or self.exported, folder)
        find_export(registered).write_parity({})
        return registered

    def release(self, registered):
        from serving.release.stage import publish_version

        return publish_version(registered, self.settings)

    def predict(self, image, at="stable"):
        from serving.client import CxrClient

        with CxrClient(self.settings.rest_url) as client:
            return client.predict("cxr_binary", image, at=at)

    def served(self) -> list[int]:
        return running.served_versions(self.settings, "cxr_binary")

    def at(self, label: str) -> int | None:
        return running.labelled_version(self.settings, "cxr_binary", label)


@pytest.fixture(scope="session")
def platform_home(tmp_path_factory, exported):
    """A registry with version 1 as champion, and a server that answers with it."""
    from serving.check.server_process import configured_server, free_port
    from serving.served.models_config import models_config_path, write_models_config
    from serving.served.version_folders import publish

    home = tmp_path_factory.mktemp("platform") / "var"
    with pytest.MonkeyPatch.context() as patch:
        _point_to(home, patch)
        from cxr_tasks.registry import tracking

        tracking.client().create_registered_model("cxr_binary")
        rest_port = free_port()
        platform = Platform(dataclasses.replace(StackSettings.requested(os.environ), rest_port=rest_port), exported)
        platform.new_version()
        publish(exported, "cxr_binary", 1)
        write_models_config()
        with configured_server(models_config_path(), home / "server.log", rest_port=rest_port) as server:
            port = int(server.address.split(":")[1])
            platform.settings = dataclasses.replace(platform.settings, grpc_port=port)
            running.wait_available(platform.settings, "cxr_binary", 1, 240)
            yield platform


@pytest.fixture
def platform(platform_home, monkeypatch):
    """The platform, with one version that serves as ``stable`` and none to go back to."""
    from serving.served.leftovers import settle
    from serving.served.state import locked, write_state

    _point_to(platform_home.settings.home, monkeypatch)
    with locked("cxr_binary"):
        state = dataclasses.replace(settle("cxr_binary"), previous=None, canary=None)
        write_state("cxr_binary", state)
        settle("cxr_binary")
    running.wait_labelled(platform_home.settings, "cxr_binary", "stable", state.stable, 60)
    running.wait_labelled(platform_home.settings, "cxr_binary", "canary", None, 60)
    return platform_home


def _point_to(home, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("CXR_HOME", str(home))
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)

"""Versions and aliases in a real MLflow registry (SQLite under the test's own run-time folder)."""

from __future__ import annotations

import pytest

from cxr_tasks.contracts.serving_contract import FindingDecision, ServingContract
from cxr_tasks.contracts.specs import PixelSpec

pytestmark = [pytest.mark.mlflow, pytest.mark.tf]

CONTRACT = ServingContract(
    model_name="cxr_binary",
    pixels=PixelSpec(size_px=16),
    decisions=(FindingDecision(finding="pneumonia", a=2.0, b=0.5, threshold=0.3),),
    dataset="made",
    dataset_fingerprint="ab" * 32,
    recipe="made",
    recipe_sha256="cd" * 32,
)


@pytest.fixture
def model_path(cxr_home, monkeypatch, tmp_path):
    import keras

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    image = keras.Input((16, 16, 1))
    features = keras.layers.Conv2D(2, 3, name="features")(image)
    logits = keras.layers.Dense(1, name="head")(keras.layers.GlobalAveragePooling2D()(features))
    path = tmp_path / "model.keras"
    keras.Model(image, logits).save(path)
    return path


def register(model_path, tmp_path, name):
    from cxr_tasks.registry import tracking, version_files

    with tracking.open_run("cxr_binary", name) as log:
        run_id = log.run_id
    work = tmp_path / name
    work.mkdir()
    number = version_files.register(
        model_name="cxr_binary", run_id=run_id, model_path=model_path, contract=CONTRACT, tags={"a": "b"}, work=work
    )
    return run_id, number


def test_a_version_comes_back_with_model_and_contract(model_path, tmp_path):
    import numpy as np

    from cxr_tasks.registry import version_files

    run_id, number = register(model_path, tmp_path, "first")
    loaded = version_files.load_version("cxr_binary", number, tmp_path / "loaded")
    assert (loaded.version, loaded.run_id, loaded.contract) == (1, run_id, CONTRACT)
    assert loaded.keras_model()(np.zeros((2, 16, 16, 1), np.float32)).shape == (2, 1)


def test_registering_a_run_twice_makes_one_version(model_path, tmp_path):
    from cxr_tasks.registry import version_files, versions

    run_id, number = register(model_path, tmp_path, "first")
    again = version_files.register(
        model_name="cxr_binary", run_id=run_id, model_path=model_path, contract=CONTRACT, tags={}, work=tmp_path
    )
    assert again == number == 1
    assert len(versions.model_versions("cxr_binary")) == 1


def test_the_champion_moves_and_the_list_shows_it(model_path, tmp_path):
    from cxr_tasks.registry import versions

    assert versions.version_with_alias("cxr_binary", versions.CHAMPION) is None
    register(model_path, tmp_path, "first")
    register(model_path, tmp_path, "second")
    versions.set_alias("cxr_binary", versions.CHAMPION, 1)
    versions.set_alias("cxr_binary", versions.CHALLENGER, 2)
    assert [(one.version, one.aliases) for one in versions.model_versions()] == [(2, ["challenger"]), (1, ["champion"])]
    versions.set_alias("cxr_binary", versions.CHAMPION, 2)
    assert versions.version_with_alias("cxr_binary", versions.CHAMPION).version == 2


def test_a_version_of_something_else_is_refused(model_path, tmp_path):
    import mlflow

    from cxr_tasks.registry import tracking, version_files, versions

    client = tracking.client()
    mlflow.set_tracking_uri(tracking.tracking_uri())
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "MLmodel").write_text("flavors: {}\n")
    client.create_registered_model("cxr_binary")
    client.create_model_version("cxr_binary", source=str(tmp_path / "other"))
    with pytest.raises(versions.NoSuchVersion, match=r"expected data/model\.keras among its artifacts"):
        version_files.load_version("cxr_binary", 1, tmp_path / "loaded")

"""The file that was judged is the one that is loaded; another one in MLflow's artifacts is refused by all who load."""

# ruff: noqa: F811  the fixture of another file

from __future__ import annotations

import shutil

import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.registry.audit import trail
from cxr_tasks.registry.model_files import CONTRACT_TAG, MODEL_TAG, FileDigests, recorded_digests
from tests.registry.test_versions import model_path, register  # noqa: F401

pytestmark = [pytest.mark.mlflow, pytest.mark.tf]

SWAPPED = "it was put there after the gate had decided, and is not loaded"


def artifact(cxr_home, name: str):
    """A version's file where MLflow keeps it."""
    (found,) = (cxr_home / "mlflow" / "artifacts").rglob(name)
    return found


@pytest.fixture
def another_model(tmp_path):
    import keras

    image = keras.Input((16, 16, 1))
    features = keras.layers.Conv2D(2, 3, name="features")(image)
    model = keras.Model(image, keras.layers.Dense(1, name="head")(keras.layers.GlobalAveragePooling2D()(features)))
    model.save(tmp_path / "another.keras")
    return tmp_path / "another.keras"


def test_what_is_in_mlflow_is_the_judged_file_byte_by_byte(model_path, tmp_path, cxr_home):
    from cxr_tasks.registry import version_files, versions

    _, number = register(model_path, tmp_path, "first")
    assert artifact(cxr_home, "model.keras").read_bytes() == model_path.read_bytes()
    loaded = version_files.load_version("cxr_binary", number, tmp_path / "loaded")
    tags = versions.version_tags("cxr_binary", number)
    assert (tags[MODEL_TAG], tags[CONTRACT_TAG]) == (loaded.digests.model, loaded.digests.contract)
    assert loaded.digests.model == FileDigests.of(model_path, model_path).model


def test_another_model_in_its_place_is_refused_by_all_who_load(
    model_path,
    another_model,
    tmp_path,
    cxr_home,
):
    from cxr_tasks.contracts.train_specs import TrainSpec
    from cxr_tasks.registry import version_files
    from cxr_tasks.train.weights.load_weights import load_starting_weights

    _, number = register(model_path, tmp_path, "first")
    shutil.copyfile(another_model, artifact(cxr_home, "model.keras"))
    with pytest.raises(DataDefect, match=f"expected the model.keras that was registered .*{SWAPPED}"):
        version_files.load_version("cxr_binary", number, tmp_path / "loaded")
    with pytest.raises(DataDefect, match=SWAPPED):
        load_starting_weights(
            None,
            TrainSpec(network="residual_cnn", starting_weights=f"models:/cxr_binary/{number}"),
            ("pneumonia",),
            tmp_path / "work",
        )


def test_other_thresholds_in_its_place_are_refused(model_path, tmp_path, cxr_home):
    from cxr_tasks.registry import version_files

    _, number = register(model_path, tmp_path, "first")
    path = artifact(cxr_home, "serving.json")
    path.write_text(path.read_text().replace("0.3", "0.9"))
    with pytest.raises(DataDefect, match="expected the serving.json that was registered"):
        version_files.load_version("cxr_binary", number, tmp_path / "loaded")


def test_a_tag_that_was_changed_with_the_file_does_not_help(
    model_path,
    another_model,
    tmp_path,
    cxr_home,
):
    """Whoever can write artifacts can write tags; the audit log is what counts."""
    from cxr_tasks.registry import version_files, versions

    run_id, number = register(model_path, tmp_path, "first")
    tags = versions.version_tags("cxr_binary", number)
    recorded = FileDigests(tags[MODEL_TAG], tags[CONTRACT_TAG])
    trail.record(
        "registered", model="cxr_binary", version=number, who="airflow",
        detail={"mlflow_run_id": run_id, **recorded.as_detail()},
    )  # fmt: skip
    shutil.copyfile(another_model, artifact(cxr_home, "model.keras"))
    versions.set_version_tags("cxr_binary", number, {MODEL_TAG: FileDigests.of(another_model, another_model).model})
    with pytest.raises(DataDefect, match=SWAPPED):
        version_files.load_version("cxr_binary", number, tmp_path / "loaded")


def test_a_version_registered_before_is_held_to_its_files_from_the_first_load_on(
    model_path,
    another_model,
    tmp_path,
    cxr_home,
):
    from cxr_tasks.registry import tracking, version_files

    run_id, number = register(model_path, tmp_path, "first")
    for tag in (MODEL_TAG, CONTRACT_TAG):
        tracking.client().delete_model_version_tag("cxr_binary", str(number), tag)
    version_files.load_version("cxr_binary", number, tmp_path / "loaded")
    (entry,) = trail.entries("cxr_binary")
    assert (entry.kind, entry.version, entry.detail["mlflow_run_id"]) == ("model_pinned", number, run_id)
    version_files.load_version("cxr_binary", number, tmp_path / "again")
    assert len(trail.entries("cxr_binary")) == 1
    shutil.copyfile(another_model, artifact(cxr_home, "model.keras"))
    with pytest.raises(DataDefect, match=SWAPPED):
        version_files.load_version("cxr_binary", number, tmp_path / "third")


def test_a_number_that_comes_again_has_no_digests_of_the_one_before(cxr_home):
    told = {"model_sha256": "ab" * 32, "contract_sha256": "cd" * 32}
    trail.record("registered", model="cxr_binary", version=1, who="airflow", detail={"mlflow_run_id": "r1", **told})
    assert recorded_digests("cxr_binary", 1, "r1", {}) == FileDigests("ab" * 32, "cd" * 32)
    assert recorded_digests("cxr_binary", 1, "r2", {}) == FileDigests()
    assert recorded_digests("cxr_binary", 2, "r1", {}) == FileDigests()

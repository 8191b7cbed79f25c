"""A version number that comes again is another version: what serves is told by run and digest, not by its number.

Real server, real registry. On TensorFlow's own server too, where one is on PATH.
"""

from __future__ import annotations

import io
import threading

import numpy as np
import pytest
from PIL import Image

from cxr_tasks.contracts.errors import ReleaseRefused
from cxr_tasks.registry.audit import trail
from serving.release.champion_watch import Announcements
from serving.served.agreement import disagreements
from serving.served.state import read_state
from serving.served.version_folders import versions_on_disk

pytestmark = [pytest.mark.tf, pytest.mark.serving, pytest.mark.mlflow]


def picture() -> bytes:
    stream = io.BytesIO()
    Image.fromarray((np.random.default_rng(0).random((90, 80)) * 255).astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def make_other(contract, tmp_path):
    """Exports of the same contract by models with other weights."""

    def make(seed: int):
        import keras

        from serving.export.saved_model import export_saved_model

        keras.utils.set_random_seed(seed)
        image = keras.Input((32, 32, 1))
        features = keras.layers.Conv2D(6, 5, strides=2, activation="relu", name="features")(image)
        pooled = keras.layers.GlobalAveragePooling2D()(features)
        start = keras.initializers.RandomNormal(stddev=3)
        model = keras.Model(image, keras.layers.Dense(1, name="head", kernel_initializer=start)(pooled))
        return export_saved_model(model, contract, tmp_path / str(seed))

    return make


def own_answer(exported) -> float:
    import tensorflow as tf

    called = tf.saved_model.load(str(exported)).signatures["serving_default"]
    return float(called(image_bytes=tf.constant([picture()]))["probabilities"][0][0])


def served_answer(platform, at="stable") -> float:
    return platform.predict(picture(), at).probabilities[0]


def lose_registry() -> None:
    """As when the registered model is deleted in MLflow: the next version is number 1 again."""
    from cxr_tasks.registry import tracking

    tracking.client().delete_registered_model("cxr_binary")
    tracking.client().create_registered_model("cxr_binary")


def serve_first(platform, make_other):
    """Version 1 of a registry made anew serves; its export."""
    lose_registry()
    first = make_other(41)
    platform.release(platform.new_version(first))
    assert read_state("cxr_binary").stable == 1
    return first


def test_the_new_version_of_an_old_number_serves_and_no_request_fails(platform, make_other):
    first, second = serve_first(platform, make_other), make_other(42)
    assert served_answer(platform) == pytest.approx(own_answer(first), abs=1e-3)
    assert abs(own_answer(first) - own_answer(second)) > 0.01
    before = read_state("cxr_binary")
    lose_registry()
    (gone, *others) = disagreements(("cxr_binary",))
    # Nobody is sent to promote what is not there.
    assert not any("promote cxr_binary 1 " in one.todo for one in (gone, *others))
    assert "version 1 serves (run " in gone.text and "the registry has no such version" in gone.text
    new = platform.new_version(second)
    assert (new.version, new.mlflow_run_id != before.content_of(1).mlflow_run_id) == (1, True)
    told = Announcements().due("cxr_binary", 1, read_state("cxr_binary"), 0.0, new.mlflow_run_id)
    assert told is not None and told.run_id == new.mlflow_run_id
    assert "version 1 of the registry is another model" in disagreements(("cxr_binary",))[0].text

    failed, answered, ended = [], set(), threading.Event()

    def ask() -> None:
        while not ended.wait(0.01):
            try:
                answered.add(round(served_answer(platform), 3))
            except Exception as error:  # any failed request is what this test is about
                failed.append(str(error))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        platform.release(new)
    finally:
        ended.set()
        asking.join()
    assert failed == []
    assert answered <= {round(own_answer(one), 3) for one in (first, second)}
    assert served_answer(platform) == pytest.approx(own_answer(second), abs=1e-3)
    state = read_state("cxr_binary")
    # Nothing is left of the number it served under for a moment.
    assert (platform.at("stable"), platform.served(), versions_on_disk("cxr_binary")) == (1, [1], sorted(state.kept))
    assert state.kept == {1} | ({before.previous} - {None})
    assert state.content_of(1).mlflow_run_id == new.mlflow_run_id
    assert not state.is_due(1, new.mlflow_run_id)
    entry = trail.entries("cxr_binary")[-1]
    assert (entry.kind, entry.version, entry.detail["mlflow_run_id"]) == ("served", 1, new.mlflow_run_id)
    assert entry.detail["before_run"] == before.content_of(1).mlflow_run_id
    assert disagreements(("cxr_binary",)) == []


def test_a_release_of_an_old_number_that_fails_leaves_the_old_model_answering(platform, make_other, monkeypatch):
    from serving.release import stage

    first = serve_first(platform, make_other)
    lose_registry()
    new = platform.new_version(make_other(43))

    def refuse(settings, model_name, at):
        if at == 1:
            raise ReleaseRefused("no probabilities")

    with monkeypatch.context() as patched:
        patched.setattr(stage, "smoke_test", refuse)
        with pytest.raises(ReleaseRefused, match="no probabilities"):
            platform.release(new)
    assert served_answer(platform) == pytest.approx(own_answer(first), abs=1e-3)
    assert "a release under the number it had before broke off" in disagreements(("cxr_binary",))[0].text
    platform.release(new)
    assert served_answer(platform) != pytest.approx(own_answer(first), abs=1e-3)
    assert (platform.at("stable"), platform.served()) == (1, [1])


def test_a_rollback_never_takes_another_model_of_the_number(platform, make_other):
    from serving.release.rollback import roll_back

    serve_first(platform, make_other)
    platform.release(platform.new_version(make_other(44)))
    assert (read_state("cxr_binary").stable, read_state("cxr_binary").previous) == (2, 1)
    lose_registry()
    asked = {"who": "Dr. A", "why": "a test"}
    with pytest.raises(ReleaseRefused, match="in the registry, found none: it was deleted there"):
        roll_back("cxr_binary", platform.settings, **asked)
    platform.new_version(make_other(45))
    with pytest.raises(ReleaseRefused, match="is not version 1 of the registry .*the number has come again"):
        roll_back("cxr_binary", platform.settings, **asked)
    assert (platform.at("stable"), platform.served()) == (2, [2])


def test_a_canary_under_a_number_that_came_again_is_the_new_model(platform, make_other):
    from cxr_tasks.registry.overrides import record_override
    from serving.release.canary import start_canary

    def canary(seed: int):
        lose_registry()
        made = make_other(seed)
        platform.new_version(made, is_champion=False)
        # An override of the model that bore the number before is none of this one.
        with pytest.raises(ReleaseRefused, match="version 1 may not serve"):
            start_canary("cxr_binary", 1, platform.settings, who="Dr. A", why="")
        record_override("cxr_binary", 1, "Dr. A", "a test")
        start_canary("cxr_binary", 1, platform.settings, who="Dr. A", why="")
        return made

    serve_first(platform, make_other)
    platform.release(platform.new_version(make_other(46)))
    for seed in (47, 48):
        made = canary(seed)
        assert served_answer(platform, "canary") == pytest.approx(own_answer(made), abs=1e-3)
    assert read_state("cxr_binary").stable == 2


def test_files_that_were_changed_on_disk_are_not_gone_back_to(platform, make_other):
    from cxr_tasks.contracts.errors import DataDefect
    from serving.release.rollback import roll_back
    from serving.served.contents import changed_files
    from serving.served.version_folders import version_folder

    serve_first(platform, make_other)
    platform.release(platform.new_version(make_other(49)))
    state = read_state("cxr_binary")
    with open(version_folder("cxr_binary", 1) / "variables" / "variables.index", "ab") as stream:
        stream.write(b"\0")
    assert "expected the files that were published" in changed_files("cxr_binary", 1, state.content_of(1))
    with pytest.raises(DataDefect, match="expected the files that were published"):
        roll_back("cxr_binary", platform.settings, who="Dr. A", why="a test")
    assert platform.at("stable") == 2


def test_a_run_that_was_deleted_and_an_alias_that_was_removed_are_said(platform, make_other):
    from cxr_tasks.registry import tracking

    serve_first(platform, make_other)
    assert disagreements(("cxr_binary",)) == []
    tracking.client().delete_registered_model_alias("cxr_binary", "champion")
    (found,) = disagreements(("cxr_binary",))
    assert "version 1 serves" in found.text and "no version of the registry bears alias champion" in found.text
    tracking.client().delete_run(read_state("cxr_binary").content_of(1).mlflow_run_id)
    assert any("was deleted, with its files" in one.text for one in disagreements(("cxr_binary",)))

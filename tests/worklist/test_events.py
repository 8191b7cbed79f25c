from __future__ import annotations

import pytest

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.worklist.events import event_name, not_understood, wanted_by


def event(name: str = "challenger", extra: dict | None = None, **changed) -> dict:
    """As Airflow's REST API tells of one."""
    return {
        "name": name,
        "id": 7,
        "timestamp": "2026-11-29T06:18:35.000000Z",
        "extra": {"model": "cxr_binary", "version": 3} if extra is None else extra,
        "source_dag_id": None,
        "source_task_id": None,
        "source_run_id": None,
        "source_map_index": -1,
        **changed,
    }


TASK = {"source_dag_id": "cxr_train_binary", "source_task_id": "propose", "source_run_id": "training_2__x"}


@pytest.mark.parametrize(
    ("name", "extra", "kind", "model", "version", "conf"),
    [
        ("new_images_binary", {}, "dataset", "cxr_binary", None, {}),
        (
            "new_images_multilabel",
            {"recipe": "nih_cnn", "data_folder": "/x", "from_rest_api": True, "batch": 12},
            "dataset",
            "cxr_multilabel",
            None,
            {"recipe": "nih_cnn", "data_folder": "/x"},
        ),
        (
            "prepared_dataset_binary",
            {"recipe": "a", "epochs": None, "gate_floor": 0.6, "allow_cpu": True, "prepared": {"dataset": "d"}},
            "training",
            "cxr_binary",
            None,
            {"recipe": "a", "gate_floor": 0.6, "allow_cpu": True, "prepared": {"dataset": "d"}},
        ),
        (
            "challenger",
            {"model": "cxr_binary", "version": "3"},
            "promotion",
            "cxr_binary",
            3,
            {"model": "cxr_binary", "version": 3},
        ),
        (
            "champion",
            {"from_trigger": True, "payload": {"model": "cxr_binary", "version": 3}},
            "release",
            "cxr_binary",
            3,
            {"model": "cxr_binary", "version": 3},
        ),
        ("served_model", {}, "report", "", None, {}),
    ],
)
def test_each_asset_asks_for_its_own(name, extra, kind, model, version, conf):
    wanted = wanted_by(event(name, extra))
    assert (wanted.kind, wanted.model, wanted.version, dict(wanted.conf)) == (kind, model, version, conf)


DRIFT = {"model": "cxr_binary", "version": 3, "recipe": "kermany_cnn", "day": "2026-11-29"}


def test_a_drift_asks_for_a_training_only_where_it_says_so():
    assert wanted_by(event("drifted", {**DRIFT, "retrain": False})) is None
    wanted = wanted_by(event("drifted", {**DRIFT, "retrain": True}))
    assert (wanted.kind, wanted.model, wanted.conf) == ("training", "cxr_binary", {"recipe": "kermany_cnn"})
    with pytest.raises(ConfigurationError, match="model and recipe"):
        wanted_by(event("drifted", {"retrain": True, "model": "cxr_binary"}))


def test_a_version_to_be_calibrated_anew_asks_for_a_dataset_of_what_came_back():
    wanted = wanted_by(event("miscalibrated", {"model": "cxr_binary", "version": 3, "recipe": "kermany_cnn"}))
    assert (wanted.kind, wanted.model) == ("dataset", "cxr_binary")
    assert wanted.conf == {"recipe": "kermany_cnn", "feedback": True, "recalibrate": 3}
    with pytest.raises(ConfigurationError, match="model, recipe and version"):
        wanted_by(event("miscalibrated", {"model": "cxr_binary", "recipe": "kermany_cnn"}))


def test_other_assets_ask_for_nothing():
    assert wanted_by(event("report")) is None


def test_events_from_outside_are_each_one_of_their_own_also_of_a_database_made_anew():
    keys = {
        wanted_by(event(**changed)).key for changed in ({}, {"id": 8}, {"timestamp": "2026-12-01T00:00:00Z"}, {"id": 7})
    }
    assert len(keys) == 3


@pytest.mark.parametrize(
    ("changed", "is_same"),
    [
        ({"id": 8, "timestamp": "2026-11-29T07:00:00Z"}, True),  # the task was cleared and said the same again
        ({"extra": {"model": "cxr_binary", "version": 4}}, False),
        ({"source_run_id": "training_3__x"}, False),
        ({"source_map_index": 1}, False),
    ],
)
def test_a_task_that_says_the_same_again_means_the_same(changed, is_same):
    assert (wanted_by(event(**TASK)).key == wanted_by(event(**{**TASK, **changed})).key) is is_same


def test_a_version_that_was_judged_again_is_proposed_again():
    def proposed(decision):
        return wanted_by(event(extra={"model": "cxr_binary", "version": 3, "decision_sha256": decision}, **TASK))

    assert proposed("ab12").key == proposed("ab12").key
    assert proposed("ab12").key != proposed("cd34").key
    assert proposed("ab12").conf == {"model": "cxr_binary", "version": 3}
    assert proposed("ab12").identity == {}


def test_a_version_is_known_by_its_run_beside_its_number():
    said = {"model": "cxr_binary", "version": 3, "mlflow_run_id": "ab12"}
    assert wanted_by(event(extra=said)).identity == {"mlflow_run_id": "ab12"}


@pytest.mark.parametrize(
    ("name", "extra", "said"),
    [
        ("new_images_binary", {"data_foldr": "/x"}, "'data_foldr' is no field.*did you mean 'data_folder'"),
        ("challenger", {"model": "cxr_binary"}, "expected model and version, found"),
        ("challenger", {}, "expected model and version, found nothing"),
        ("champion", {"version": 3}, "expected a model with version 3"),
        ("challenger", {"model": "cxr_binary", "version": "two"}, "expected a version's number, found 'two'"),
        ("challenger", {"model": "cxr_binary", "version": 0}, "expected a version's number, found 0"),
        ("challenger", {"model": "cxr_binary", "version": True}, "expected a version's number, found True"),
        ("challenger", {"from_trigger": True, "payload": "text"}, "expected fields and values, found 'text'"),
    ],
)
def test_what_cannot_be_understood_is_said_and_kept(name, extra, said):
    with pytest.raises(ConfigurationError, match=said):
        wanted_by(event(name, extra))
    kept = not_understood(event(name, extra))
    assert (kept.conf, kept.key) == ({"said": extra}, event_name(event(name, extra)))

"""Runs against a real MLflow store (SQLite under the test's own run-time folder)."""

from __future__ import annotations

import pytest

from cxr_tasks.registry.run_log import flatten

pytestmark = pytest.mark.mlflow


@pytest.fixture
def store(cxr_home, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return cxr_home


def test_what_is_logged_is_seen_while_the_run_goes_on(store, tmp_path):
    from cxr_tasks.registry.tracking import client, open_run

    (tmp_path / "facts.json").write_text("{}")
    with open_run("cxr_binary", "first", tags={"cxr.dag_id": "made"}) as log:
        log.params({"train": {"epochs": 3}})
        log.metrics({"val_auroc": 0.7, "val_loss": float("nan")}, step=1)
        log.dataset(
            name="made",
            fingerprint="ab" * 32,
            location="/data",
            context="training",
            tags={"cxr.validation.n_warnings": "2", "cxr.validation.drift": "none"},
        )
        log.artifact(tmp_path / "facts.json", "evaluation")
        seen = client().get_run(log.run_id)
        assert seen.info.status == "RUNNING"
        assert seen.data.params == {"train.epochs": "3"}
        assert seen.data.metrics == {"val_auroc": 0.7}
        (used,) = seen.inputs.dataset_inputs
        assert used.dataset.digest == "ab" * 16
        assert {tag.key: tag.value for tag in used.tags} == {
            "mlflow.data.context": "training",
            "cxr.fingerprint": "ab" * 32,
            "cxr.validation.n_warnings": "2",
            "cxr.validation.drift": "none",
        }
        assert [one.path for one in client().list_artifacts(log.run_id, "evaluation")] == ["evaluation/facts.json"]
    assert client().get_run(log.run_id).info.status == "FINISHED"


def test_a_run_is_opened_again_and_first_parameters_stay(store):
    from cxr_tasks.registry.tracking import client, open_run

    with pytest.raises(RuntimeError, match="half way"), open_run("cxr_binary", "first") as log:
        log.params({"epochs": 3})
        raise RuntimeError("half way")
    assert client().get_run(log.run_id).info.status == "FAILED"
    with open_run("cxr_binary", "second try", run_id=log.run_id) as again:
        assert again.run_id == log.run_id
        again.params({"epochs": 4, "seed": 1})
    run = client().get_run(log.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"epochs": "3", "seed": "1"}


def test_a_run_of_several_tasks_is_found_by_its_tag_and_stays_open(store):
    from cxr_tasks.registry.tracking import begin_run, client, open_run, runs_with_tag

    first = begin_run("cxr_binary", "all", tags={"cxr.training": "it's here"})
    second = begin_run("cxr_binary", "all", tags={"cxr.training": "there"})
    assert client().get_run(first).info.status == "RUNNING"
    assert [run.info.run_id for run in runs_with_tag("cxr_binary", "cxr.training", "it's here")] == [first]
    assert runs_with_tag("cxr_binary", "cxr.training", "nowhere") == []
    with open_run("cxr_binary", "all", run_id=second):
        pass
    assert client().get_run(second).info.status == "FINISHED"


def test_flatten_keeps_empty_mappings():
    assert flatten({"a": {}, "b": {"c": {"d": 1}}}) == {"a": {}, "b.c.d": 1}

"""The audit log's end in a real MLflow registry (SQLite under the test's own run-time folder)."""

from __future__ import annotations

import pytest

from cxr_tasks.installation.storage.paths import audit_log
from cxr_tasks.registry.audit import anchors, trail
from cxr_tasks.registry.audit.anchors import Head

pytestmark = pytest.mark.mlflow


def test_a_head_reads_as_it_is_written():
    head = Head(12, "ab" * 32)
    assert Head.read(str(head)) == head
    with pytest.raises(ValueError, match="expected seq:digest, found '12'"):
        Head.read("12")


def test_an_mlflow_that_does_not_answer_is_no_obstacle(cxr_home, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert trail.record("promoted", model="cxr_binary", version=1, who="anna").seq == 1
    assert "seq 1 is recorded, but not anchored in MLflow" in caplog.text
    assert trail.verify() == []


def test_the_end_of_the_log_stands_on_the_model_and_is_not_moved_by_a_log_that_contradicts_it(cxr_home, caplog):
    from cxr_tasks.registry import tracking

    tracking.client().create_registered_model("cxr_binary")
    trail.record("promoted", model="cxr_binary", version=1, who="anna")
    second = trail.record("served", model="cxr_binary", version=1, who="airflow")
    assert anchors.registry_heads() == {"cxr_binary": f"2:{second.digest}"}
    assert "not anchored" not in caplog.text

    # What is of a model that is not registered yet is recorded all the same, and no reason to warn.
    trail.record("verdict", model="cxr_multilabel", version=None, who="airflow")
    assert "not anchored" not in caplog.text
    assert set(anchors.registry_heads()) == {"cxr_binary"}

    # Log and local anchor begun anew: only MLflow still knows.
    audit_log().unlink()
    (audit_log().parent / "head").unlink()
    trail.record("promoted", model="cxr_binary", version=9, who="otto")
    assert trail.verify() == []
    assert "seq 2 had been recorded, the log ends with seq 1: its last entries were removed" in caplog.text
    assert anchors.registry_heads() == {"cxr_binary": f"2:{second.digest}"}

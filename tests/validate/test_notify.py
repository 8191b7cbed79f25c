"""Notifications against a real server on the loopback interface."""

from __future__ import annotations

import json
import logging
import socket

import pytest

from cxr_tasks.installation import notices as module
from cxr_tasks.validate.notify import message, notify
from cxr_tasks.validate.outcomes import Outcome

SUBJECT = "dataset made, manifest"


def make_outcome(**overrides):
    values = {
        "table": "images",
        "expectation": "expect_x",
        "column": "patient_id",
        "about": "a patient is in one split only",
        "severity": "warning",
        "success": False,
        "expected": {},
        "observed": "2 of 9 rows do not meet it",
        "n_unexpected": 2,
        "offending_rows": ({"patient_id": "person134", "image_id": "test/person134_bacteria_643.jpeg"},),
    }
    return Outcome(**values | overrides)


OUTCOMES = (
    make_outcome(),
    make_outcome(success=True, about="met"),
    make_outcome(about="boxes can be read", severity="critical", n_unexpected=None),
)


def test_counts_and_sentences_are_delivered_and_no_row(webhook, monkeypatch):
    monkeypatch.setenv("CXR_NOTIFY", f"json://127.0.0.1:{webhook.server_port}/hook")
    assert notify(SUBJECT, OUTCOMES) == 1
    ((path, sent),) = webhook.received
    assert path == "/hook"
    assert sent["title"] == "Chest X-ray data, dataset made, manifest: critical 1, warnings 1"
    assert sent["message"].splitlines() == [
        "dataset made, manifest: of 3 expectations 2 are not met (critical 1, warnings 1); the run is stopped.",
        "- critical: boxes can be read",
        "- warning: a patient is in one split only (2 rows of images)",
        "Rows and numbers: the task's log and the Data Docs linked on the task.",
    ]
    assert "person134" not in json.dumps(sent)


def test_names_are_text_where_mail_and_chat_show_html(webhook, monkeypatch):
    monkeypatch.setenv("CXR_NOTIFY", f"json://127.0.0.1:{webhook.server_port}/hook?format=html")
    evil = "<img src=x onerror=run()>"
    assert notify(f"dataset {evil}", [make_outcome(about=evil)]) == 1
    ((_, sent),) = webhook.received
    assert "<img" not in sent["message"]
    assert sent["message"].count("&lt;img") == 2


def test_warnings_alone_let_the_run_go_on():
    _, body = message(SUBJECT, OUTCOMES[:2])
    assert "critical 0, warnings 1); the run goes on." in body


@pytest.mark.parametrize("status", [500, 403])
def test_a_refusal_is_a_warning_without_the_address_and_the_next_address_is_tried(webhook, monkeypatch, caplog, status):
    webhook.status = status
    address = f"json://user:s3cret@127.0.0.1:{webhook.server_port}/hook/s3cret"
    monkeypatch.setenv("CXR_NOTIFY", f"{address} {address}")
    with caplog.at_level(logging.DEBUG):
        assert notify(SUBJECT, OUTCOMES) == 0
    assert len(webhook.received) == 2
    assert "CXR_NOTIFY, address 1 of 2 (json) did not take the notification" in caplog.text
    assert "address 2 of 2" in caplog.text
    assert "s3cret" not in caplog.text


def test_nobody_listening_is_a_warning(monkeypatch, caplog):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    monkeypatch.setenv("CXR_NOTIFY", f"json://user:s3cret@127.0.0.1:{port}")
    with caplog.at_level(logging.DEBUG):
        assert notify(SUBJECT, OUTCOMES) == 0
    assert "did not take the notification" in caplog.text
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize("address", ["nosuch://s3cret", "s3cret", "json://"])
def test_an_address_that_is_none_is_a_warning_without_it(monkeypatch, caplog, address):
    monkeypatch.setenv("CXR_NOTIFY", address)
    with caplog.at_level(logging.DEBUG):
        assert notify(SUBJECT, OUTCOMES) == 0
    assert "address 1 of 1" in caplog.text
    assert "s3cret" not in caplog.text


def test_without_an_address_nothing_is_sent_and_the_log_says_once_how_to_set_one(monkeypatch, caplog):
    monkeypatch.delenv("CXR_NOTIFY", raising=False)
    module._say_how.cache_clear()
    with caplog.at_level(logging.INFO):
        assert [notify(SUBJECT, OUTCOMES) for _ in range(3)] == [0, 0, 0]
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "mailto://" in caplog.text

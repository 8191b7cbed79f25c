"""Who hears of a run that takes long."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.installation.signals import signals
from cxr_tasks.stack.deadlines import deadline_of, tell_of_missed


def missed(**facts) -> dict:
    """What Airflow hands over: the run as its API tells of it."""
    return {"dag_run": {"dag_id": "cxr_report", "dag_run_id": "manual__2026-11-30T00:00:00+00:00", **facts}}


def test_a_run_that_has_failed_long_ago_is_not_said_to_take_long(cxr_home, webhook, monkeypatch):
    monkeypatch.setenv("CXR_NOTIFY", f"json://127.0.0.1:{webhook.server_port}/x")
    asyncio.run(tell_of_missed(missed(state="failed", end_date="2026-11-30T00:01:00Z"), after="8:00:00"))
    assert webhook.received == [] and signals() == []


def test_a_missed_deadline_is_told_with_the_run_and_its_page(cxr_home, webhook, monkeypatch):
    context = missed(state="running", end_date=None)
    monkeypatch.setenv("CXR_NOTIFY", f"json://127.0.0.1:{webhook.server_port}/x")
    asyncio.run(tell_of_missed(context, after="8:00:00"))
    ((_, message),) = webhook.received
    assert message["title"] == "Chest X-rays: cxr_report takes long"
    assert "8:00:00 after it was asked for" in message["message"]
    assert "/dags/cxr_report/runs/manual__2026-11-30T00%3A00%3A00%2B00%3A00" in message["message"]
    assert [(one.kind, one.name, one.n) for one in signals()] == [("deadline_missed", "cxr_report", 1)]


@pytest.mark.parametrize("text", ["0", "1", "half", "-1"])
def test_a_share_that_is_none_is_refused(text):
    with pytest.raises(ConfigurationError, match="CXR_DEADLINE_SHARE"):
        deadline_of({"CXR_DEADLINE_SHARE": text}, timedelta(hours=1))

"""Thirty days of a served model, from the prediction log to pages, alarm and the wish for a training."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import pytest

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.handoffs.release import RegisteredModel
from cxr_tasks.contracts.shapes import build
from cxr_tasks.installation.storage.files import read_json
from cxr_tasks.installation.storage.paths import monitor_root
from cxr_tasks.monitor.alarm import keep_as_told, tell_of_alarm
from cxr_tasks.monitor.record import LookRecord, read_state, write_state
from cxr_tasks.monitor.retraining import least_days
from cxr_tasks.monitor.stage import look_at
from cxr_tasks.predictions.log import append_rows
from tests.monitor.worlds import drawn, logged, reference

FIRST = date(2026, 3, 1)
MODEL = RegisteredModel(model_name="cxr_binary", version=1, mlflow_run_id="ab" * 16, alias="champion")


def serve(number: int, n: int = 150, change: str = "", rng=None) -> None:
    at = datetime.combine(FIRST + timedelta(days=number), time(12), UTC)
    append_rows(logged(drawn(rng or np.random.default_rng(number), n, change), at))


def looked(number: int, environment=None, **changes):
    given = {"reference_version": 1, "window_days": 7, "recipe": "synthetic_binary", **changes}
    day = FIRST + timedelta(days=number)
    return look_at(MODEL, PROFILE, day=day, environment=environment or {}, **given)


def record_of(day: str) -> LookRecord:
    return build(LookRecord, read_json(monitor_root() / "cxr_binary" / "1-abababab" / day / "drift.json"), "drift.json")


PROFILE = reference(seed=8)


@pytest.fixture
def thirty_days(cxr_home):
    """Contrast falls by a fifth on day 20; a training is due at most every 5 days."""
    reports = []
    for number in range(30):
        serve(number, change="contrast" if number >= 20 else "")
        if number < 3 or number >= 17:  # the days between are as those before them
            reports.append(looked(number, {"CXR_RETRAIN_ON_DRIFT": "cxr_binary:5"}))
    return reports


def test_thirty_days_with_a_change_on_day_20(thirty_days, webhook, monkeypatch):
    reports = thirty_days
    assert [one.verdict for one in reports[:2]] == ["too few", "none"]
    assert {one.verdict for one in reports[2:6]} == {"none"}
    begun = [number for number, one in enumerate(reports) if one.is_new_episode]
    assert begun == [next(number for number, one in enumerate(reports) if one.verdict == "drift")]
    assert "2026-03-21" <= reports[begun[0]].day <= "2026-03-23" and "deviation" in reports[begun[0]].names
    assert [number for number, one in enumerate(reports) if one.retrain] == begun
    record = record_of("2026-03-25")
    assert record.verdict == "drift" and {one.name for one in record.promises} >= {"auroc", "sensitivity"}
    index = (monitor_root() / "index.html").read_text()
    assert "open since" in index
    trend = (monitor_root() / "cxr_binary" / "1-abababab" / "index.html").read_text()
    assert "<svg" in trend and trend.count('index.html">2026-03-') == 16
    page = (monitor_root() / "cxr_binary" / "1-abababab" / "2026-03-25" / "index.html").read_text()
    assert "estimate, not a measurement" in page and "deviation" in page
    assert read_state("cxr_binary", 1, MODEL.mlflow_run_id).retrained_on == reports[begun[0]].day
    # The message: three numbers and a link.
    monkeypatch.setenv("CXR_NOTIFY", f"json://127.0.0.1:{webhook.server_port}/alarm")
    assert tell_of_alarm(reports[begun[0]]) == 1
    ((_, said),) = webhook.received
    assert said["message"].count("before,") == min(3, len(reports[begun[0]].names))
    assert reports[begun[0]].address in said["message"]


def test_a_day_is_looked_at_once_however_often_it_is_asked(cxr_home):
    for number in range(7):
        serve(number, change="inverted" if number == 6 else "")
    assert looked(5).verdict == "none"
    assert looked(6).is_new_episode
    # The task broke off before its message was sent, and is tried again.
    again = looked(6)
    assert again.verdict == "drift" and again.is_new_episode
    keep_as_told(again)
    assert not looked(6).is_new_episode
    state = read_state("cxr_binary", 1, MODEL.mlflow_run_id)
    assert [one.is_regular for one in state.looks] == [True, True] and len(state.episodes) == 1
    # By hand with another window, or for a day gone by: to read, no alarm.
    assert not looked(6, window_days=14).is_new_episode
    assert not looked(3).is_new_episode


def test_a_look_at_a_day_that_is_not_over_silences_no_later_one(cxr_home):
    """A day mistyped in the form, today by hand, or a clock that ran ahead for a while."""
    now = datetime.now(UTC)
    yesterday = now.date() - timedelta(days=1)
    for ahead in (1, 40):
        assert not looked((now.date() - FIRST).days + ahead).is_new_episode
    state = read_state("cxr_binary", 1, MODEL.mlflow_run_id)
    assert [one.is_regular for one in state.looks] == [False, False]
    write_state(replace(state, looks=tuple(replace(one, is_regular=True) for one in state.looks)))
    append_rows(logged(drawn(np.random.default_rng(1), 300, "inverted"), datetime.combine(yesterday, time(12), UTC)))
    assert looked((yesterday - FIRST).days).is_new_episode


def test_a_training_that_was_asked_for_is_asked_for_again_when_the_task_broke_off(cxr_home):
    for number in range(3):
        serve(number, change="inverted")
    asked = {"CXR_RETRAIN_ON_DRIFT": "cxr_binary:5"}
    assert looked(2, asked).retrain and looked(2, asked).retrain


def test_the_numbers_of_a_look_are_those_of_the_window_it_shows(cxr_home):
    """A sudden change shows in the last day alone; pictures that were asked twice the days before are not of it."""
    for number in range(6):
        rows = logged(
            drawn(np.random.default_rng(number), 250), datetime.combine(FIRST + timedelta(number), time(12), UTC)
        )
        append_rows([*rows, *({**row, "time": row["time"] + timedelta(hours=1)} for row in rows[:30])])
    serve(6, 250, "inverted")
    looked(6)
    record = record_of("2026-03-07")
    assert (record.window_days, record.n_images, record.n_again) == (1, 250, 0)


def test_a_damaged_state_of_another_version_fails_no_look(cxr_home, caplog):
    damaged = monitor_root() / "cxr_multilabel" / "3-cdcdcdcd" / "state.json"
    damaged.parent.mkdir(parents=True)
    damaged.write_text('{"model_name": "cxr_mu')
    serve(0)
    assert looked(0).verdict == "too few"
    assert "cxr_binary" in (monitor_root() / "index.html").read_text() and str(damaged) in caplog.text


def test_no_training_is_asked_for_unless_the_setting_says_so(cxr_home):
    for number in range(3):
        serve(number, change="inverted")
    report = looked(2)
    assert report.is_new_episode and not report.retrain


@pytest.mark.parametrize("text", ["cxr_binary", "cxr_binary:0", "cxr_binry:30", "cxr_binary:x"])
def test_a_setting_that_means_nothing_is_refused(text):
    with pytest.raises(ConfigurationError, match="CXR_RETRAIN_ON_DRIFT"):
        least_days({"CXR_RETRAIN_ON_DRIFT": text})


def test_pictures_asked_again_count_once_and_canaries_and_other_versions_do_not(cxr_home):
    at = datetime.combine(FIRST, time(12), UTC)
    table = drawn(np.random.default_rng(1), 250)
    rows = logged(table, at)
    again = [{**row, "request_id": f"again {row['request_id']}"} for row in rows[:40]]
    canary = [{**row, "request_id": f"canary {row['request_id']}", "label": "canary"} for row in rows]
    other = logged(table, at, version=2)
    append_rows([*rows, *again, *canary, *other])
    report = looked(0)
    assert report.n_images == 250
    record = record_of("2026-03-01")
    assert record.n_again == 40

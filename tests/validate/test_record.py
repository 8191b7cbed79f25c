from __future__ import annotations

import logging

import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.installation.storage.files import read_json, verified_path
from cxr_tasks.validate.outcomes import Outcome
from cxr_tasks.validate.record import conclude


def make_outcome(**overrides):
    values = {
        "table": "images", "expectation": "expect_x", "column": "split", "about": "split holds known words only",
        "severity": "critical", "success": True, "expected": {"value_set": ["train"]}, "observed": "1 of 9 rows",
        "n_unexpected": 1, "offending_rows": ({"split": "holdout", "image_id": "1.png"},),
    }  # fmt: skip
    return Outcome(**values | overrides)


WARNED = make_outcome(severity="warning", success=False, about="ages are those of people")
FAILED = make_outcome(success=False)


@pytest.fixture
def conclude_on(tmp_path, monkeypatch):
    monkeypatch.delenv("CXR_NOTIFY", raising=False)

    def run(*outcomes):
        return conclude(
            outcomes, tmp_path / "validation.json", subject="dataset made", facts={"n_images": 9}, remedy="mend it"
        )

    return run


def test_when_all_are_met_one_line_says_so(conclude_on, caplog):
    with caplog.at_level(logging.INFO):
        reference = conclude_on(make_outcome(), make_outcome())
    assert [record.message for record in caplog.records] == ["dataset made: 2 expectations, all met"]
    record = read_json(verified_path(reference))
    assert (record["n_images"], record["success"]) == (9, True)
    assert record["n_failed"] == {"critical": 0, "warning": 0}


def test_warnings_are_logged_with_their_rows_and_nothing_stops(conclude_on, caplog):
    with caplog.at_level(logging.WARNING):
        reference = conclude_on(make_outcome(), WARNED)
    assert "dataset made: of 2 expectations 1 are not met (warnings)" in caplog.text
    assert "ages are those of people" in caplog.text
    assert "1.png" in caplog.text
    assert read_json(verified_path(reference))["success"] is True


def test_a_critical_failure_is_written_down_before_it_stops(conclude_on, tmp_path):
    with pytest.raises(DataDefect) as caught:
        conclude_on(make_outcome(), WARNED, FAILED)
    lines = str(caught.value).splitlines()
    assert lines[0] == (
        "dataset made: of 3 expectations 2 are not met (critical 1, warnings 1); mend it. "
        f"All outcomes: {tmp_path / 'validation.json'}"
    )
    assert lines[3].startswith("critical  split holds known words only")
    assert lines[4].startswith("warning   ages are those of people")
    record = read_json(tmp_path / "validation.json")
    assert record["success"] is False
    assert [one["about"] for one in record["outcomes"]] == [
        "split holds known words only", "ages are those of people", "split holds known words only",
    ]  # fmt: skip


def test_what_is_not_met_is_sent_also_when_it_stops(conclude_on, monkeypatch):
    sent = []
    monkeypatch.setattr("cxr_tasks.validate.record.notify", lambda subject, outcomes: sent.append(subject))
    conclude_on(make_outcome())
    assert sent == []
    conclude_on(WARNED)
    with pytest.raises(DataDefect):
        conclude_on(FAILED)
    assert sent == ["dataset made", "dataset made"]

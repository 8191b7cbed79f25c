"""``cxr history`` as typed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from cxr_tasks.cli.main import main
from cxr_tasks.installation.storage.paths import audit_log
from cxr_tasks.registry.audit import trail


@pytest.fixture
def past(cxr_home):
    trail.record("verdict", model="cxr_binary", version=None, who="airflow", detail={"verdict": "PASS"})
    trail.record("served", model="cxr_binary", version=1, who="airflow", fingerprint="ab" * 32)
    trail.record("rolled_back", model="cxr_binary", version=7, who="anna", why="[bold]too many calls[/bold]")
    trail.record("served", model="cxr_multilabel", version=4, who="airflow")


def run(capsys, *arguments):
    code = main(["history", *arguments])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_each_entry_of_the_model_is_a_line_and_the_last_says_what_serves(past, capsys):
    code, shown, error = run(capsys, "cxr_binary")
    lines = shown.splitlines()
    assert (code, error) == (0, "")
    assert len(lines) == 5
    assert lines[1].split()[0] == "1" and "verdict PASS" in lines[1]
    assert lines[2].split()[-1] == "abababababab"
    assert "rolled back" in lines[3] and "[bold]too many calls[/bold]" in lines[3]
    assert lines[4].startswith("cxr_binary: version 7 serves, since ")


def test_at_a_time_one_sentence_answers(past, capsys):
    served = trail.entries("cxr_binary")[1]
    _, shown, _ = run(capsys, "cxr_binary", "--at", served.at)
    assert shown.startswith("cxr_binary: version 1 served at ") and shown.endswith("(seq 2)\n")
    _, shown, _ = run(capsys, "cxr_binary", "--at", "2020-01-01")
    assert shown == "cxr_binary: no version served at 2020-01-01 00:00:00 UTC\n"
    assert run(capsys, "cxr_binary", "--at", "noon")[0] == 1


def test_what_serves_now_is_the_last_that_began_also_where_the_clock_was_ahead_then(cxr_home, capsys, monkeypatch):
    """The order of the log is sure, its times are not."""
    for version, at in ((1, datetime(2026, 11, 26, 10, tzinfo=UTC)), (2, datetime(2126, 11, 26, 10, tzinfo=UTC))):
        with monkeypatch.context() as patch:
            patch.setattr(trail, "datetime", SimpleNamespace(now=lambda _, at=at: at))
            trail.record("served", model="cxr_binary", version=version, who="airflow")
    assert trail.verify() == []
    code, shown, _ = run(capsys, "cxr_binary")
    assert code == 0
    assert shown.splitlines()[-1].startswith("cxr_binary: version 2 serves, since 2126-11-26 10:00:00 UTC")


def test_json_holds_everything(past, capsys):
    _, shown, _ = run(capsys, "cxr_binary", "--json", "--at", "2020-01-01")
    found = json.loads(shown)
    assert [one["kind"] for one in found["entries"]] == ["verdict", "served", "rolled_back"]
    assert [(one["version"], one["until"] is None) for one in found["served"]] == [(1, False), (7, True)]
    assert (found["at"]["served"], found["problems"]) == (None, [])


def test_a_log_that_is_not_whole_is_shown_with_a_warning(past, capsys):
    audit_log().write_bytes(audit_log().read_bytes().replace(b'"who":"anna"', b'"who":"otto"'))
    code, shown, error = run(capsys, "cxr_binary")
    assert code == 0 and "otto" not in shown
    assert "the log is not whole: line 3: seq 3 (rolled_back of cxr_binary version 7) was changed" in error


def test_a_model_that_is_not_recorded_is_named_with_the_nearest(past, capsys):
    code, _, error = run(capsys, "cxr_binari")
    assert code == 1
    assert "nothing is recorded of model 'cxr_binari'; did you mean 'cxr_binary'?" in error


def test_an_empty_log_says_what_begins_it(cxr_home, capsys):
    code, _, error = run(capsys, "cxr_binary")
    assert code == 1 and "nothing is recorded yet" in error

"""What a person is shown before they decide."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cxr_tasks.contracts.errors import DataDefect, ReleaseRefused
from cxr_tasks.contracts.plain_text import plain_markdown as plain
from cxr_tasks.registry import tracking, versions
from cxr_tasks.registry.approve.evidence_page import against_champion, approval_request, verdict_table
from cxr_tasks.registry.approve.promotion import promote
from cxr_tasks.registry.overrides import record_override
from tests.registry.proposed import MODEL, RULES, todays_policy

WEEK = timedelta(days=7)


def test_each_rule_is_a_row_with_its_numbers():
    assert verdict_table(RULES).splitlines() == [
        "| Outcome | Asked and found | Value (95 % interval) | Bound |",
        "|---|---|---|---|",
        "| passed | Test AUROC is 0.9700 (0.9500 to 0.9800): the lower end is at or above the floor of 0.8. "
        "| 0.97 (0.95 to 0.98) | 0.8 |",
        "| does not apply | There is no champion yet to compare with. |  |  |",
    ]


def test_what_was_not_passed_stands_first():
    rules = [{"name": "x", "outcome": outcome, "sentence": outcome} for outcome in ("PASS", "FAIL", "NOT_APPLICABLE")]
    rows = verdict_table(rules).splitlines()[2:]
    assert [row.split(" | ")[1] for row in rows] == ["FAIL", "PASS", "NOT_APPLICABLE"]


def test_what_a_rule_says_cannot_leave_its_cell():
    row = verdict_table([{"name": "x", "outcome": "FAIL", "sentence": "a | b\n<script>"}]).splitlines()[-1]
    assert row == "| **failed** | a \\| b &lt;script&gt; |  |  |"


@pytest.mark.parametrize(
    ("compared", "champion", "expected"),
    [
        (None, None, "There is no champion yet to compare with."),
        (3, 3, "worse by 0.001"),
        (3, 4, "the gate compared with version 3, champion now is version 4"),
        (None, 4, "the gate compared with no champion, champion now is version 4"),
    ],
)
def test_a_comparison_with_another_champion_is_called_so(compared, champion, expected):
    sentence = "worse by 0.001" if compared else "There is no champion yet to compare with."
    rules = [
        {"name": "champion", "outcome": "PASS", "sentence": sentence},
        {"name": "champion_finding", "outcome": "PASS", "sentence": "effusion is as good"},
        {"name": "champion_finding", "outcome": "NEEDS_HUMAN", "sentence": "hernia is not comparable"},
    ]
    decision = {"champion_version": compared, "rules": rules}
    said = against_champion(decision, champion)
    assert expected in said
    assert "hernia" in said
    assert "effusion" not in said
    assert ("changed since" in said) == (compared != champion)


@pytest.mark.mlflow
def test_the_question_holds_what_is_needed_to_answer_it(propose_version, tmp_path, monkeypatch):
    first = propose_version()
    promote(MODEL, first, who="dr.weber", why="first model")
    second = propose_version(champion_version=first)
    request = approval_request(MODEL, second, tmp_path, run="run", limit=WEEK, has_report=True, is_checked=True)
    assert (request.champion_version, request.limit_hours) == (first, 168.0)
    assert request.decision_sha256 == versions.version_tags(MODEL, second)["gate.decision_sha256"]
    assert request.subject == f"Shall cxr_binary version {second} serve?"
    for said in (
        f"Champion today: version {first}.",
        "Test AUROC **0.9700** (95 % interval 0.9500 to 0.9800)",
        "trained by recipe synthetic_binary on dataset made efefefef",
        f"#### Gate: PASS, policy cxr_binary {todays_policy()['policy_version']}",
        "Passed: exported and loaded in a model server of its own",
        f"(/cxr/reports/cxr_binary/{second}/index.html)",
        f"**Reject**: version {first} goes on serving",
        "not approved",
    ):
        assert said in request.body


@pytest.mark.mlflow
def test_what_stands_beside_the_rules_is_shown_to_who_decides(propose_version, tmp_path):
    remark = {"name": "clock", "sentence": "A clock ended <training> after epoch 3 of 40."}
    version = propose_version(remarks=[remark])
    body = approval_request(MODEL, version, tmp_path, run="run", limit=WEEK, has_report=True, is_checked=True).body
    assert body.rstrip().endswith(f"- {plain(remark['sentence'])}") and "<training>" not in body


@pytest.mark.mlflow
def test_a_missing_report_and_a_failed_check_are_said(propose_version, tmp_path):
    body = approval_request(
        MODEL, propose_version(), tmp_path, run="run", limit=WEEK, has_report=False, is_checked=False
    ).body
    assert "The report could not be written" in body
    assert "**Not passed**; the log of task `prepare` says why" in body
    assert "/cxr/reports/" not in body


@pytest.mark.mlflow
def test_an_override_is_said_first(propose_version, tmp_path):
    version = propose_version(verdict="NEEDS_HUMAN")
    with pytest.raises(ReleaseRefused, match="may not serve: its gate verdict is NEEDS_HUMAN"):
        approval_request(MODEL, version, tmp_path, run="run", limit=WEEK, has_report=True, is_checked=True)
    record_override(MODEL, version, "A. Okafor", "champion lost with the old disk")
    body = approval_request(MODEL, version, tmp_path, run="run", limit=WEEK, has_report=True, is_checked=True).body
    assert "**The gate was overridden** by A. Okafor" in body.split("#### Gate")[0]
    assert "champion lost with the old disk" in body


@pytest.mark.mlflow
def test_nothing_is_asked_about_the_champion(propose_version, tmp_path):
    version = propose_version()
    promote(MODEL, version, who="dr.weber", why="first model")
    with pytest.raises(DataDefect, match="is champion already"):
        approval_request(MODEL, version, tmp_path, run="run", limit=WEEK, has_report=True, is_checked=True)


@pytest.mark.mlflow
def test_a_decision_that_was_changed_on_the_run_is_not_shown(propose_version, tmp_path):
    version = propose_version()
    (tmp_path / "decision.json").write_text('{"verdict": "PASS", "rules": []}')
    run_id = versions.find_version(MODEL, version).run_id
    tracking.client().log_artifact(run_id, str(tmp_path / "decision.json"), "gate")
    with pytest.raises(DataDefect, match="it was changed after the version was registered"):
        approval_request(MODEL, version, tmp_path / "work", run="run", limit=WEEK, has_report=True, is_checked=True)


@pytest.mark.mlflow
def test_names_and_tags_are_shown_as_they_are(propose_version, tmp_path):
    version = propose_version()
    evil = "x](http://a.example)`![y](http://b.example/p.png)<img src=z>"
    names = ("recipe.name", "data.name", "gate.policy", "test_auroc", "test_auroc_lower")
    versions.set_version_tags(MODEL, version, dict.fromkeys(names, evil))
    body = approval_request(MODEL, version, tmp_path, run="run", limit=WEEK, has_report=True, is_checked=True).body
    assert body.count(plain(evil)) == len(names)
    assert evil not in body and "<img" not in body

"""``cxr promote`` before it reaches the registry; what it does there is in tests/end_to_end/test_promotion.py."""

from __future__ import annotations

import pytest

from cxr_tasks.cli.following.approval import question_page, require_may_answer
from cxr_tasks.cli.main import main
from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.worklist.airflow_api import TaskRun


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["cxr_binry", "3", "--reason", "finds more"], "model 'cxr_binry' is not known; did you mean 'cxr_binary'?"),
        (["cxr_binary", "3", "--reason", " "], "--reason: expected why this version shall serve, found nothing"),
        (["cxr_binary", "3", "--reason", "finds more"], "start it with 'make up'"),
    ],
)
def test_what_cannot_be_promoted_is_said_in_one_line(cxr_home, capsys, arguments, said):
    assert main(["promote", *arguments]) == 1
    assert said in capsys.readouterr().err


def test_a_reason_is_asked_for(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["promote", "cxr_binary", "3"])
    assert ended.value.code == 2
    assert "--reason" in capsys.readouterr().err


def test_approving_needs_a_run_that_is_followed(cxr_home, capsys):
    assert main(["trigger", "synthetic_binary", "--approve", "synthetic"]) == 1
    assert "expected --wait with it" in capsys.readouterr().err


def test_nobody_is_answered_for():
    require_may_answer(("dr.weber", "admin"))
    with pytest.raises(ConfigurationError, match="CXR_APPROVERS names dr.weber"):
        require_may_answer(("dr.weber",))


def test_the_page_of_a_question_is_that_of_its_instance():
    question = TaskRun("cxr_promote", "manual__1", "approve", "awaiting_input", 1, None, map_index=1)
    page = "/dags/cxr_promote/runs/manual__1/tasks/approve/mapped/1/required_actions"
    assert question_page("http://127.0.0.1:8080", question) == f"http://127.0.0.1:8080{page}"

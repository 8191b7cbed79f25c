"""What is said when a command stops while its runs go on; the command is a process of its own, ended by signals."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from cxr_tasks.cli.following.followed_run import triggered
from cxr_tasks.cli.going_on import says_what_goes_on
from cxr_tasks.contracts.errors import ServiceUnavailable
from cxr_tasks.installation.storage.paths import PROJECT_ROOT
from cxr_tasks.worklist.airflow_api import DagRun

_WAITS = """
import time
from cxr_tasks.worklist.airflow_api import DagRun
from cxr_tasks.cli.going_on import says_what_goes_on
from cxr_tasks.cli.following.followed_run import triggered
followed = [triggered("cxr_binary", DagRun("cxr_dataset_binary", "cxr__1", "running"), "a reason")]
with says_what_goes_on(followed, "http://127.0.0.1:8080"):
    print("follows", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("request_to_end", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_timeout_say_that_the_run_goes_on_and_how_to_follow_it(request_to_end):
    command = subprocess.Popen(
        [sys.executable, "-c", _WAITS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=PROJECT_ROOT,
        # A test run in the background of a shell has SIGINT ignored, and its children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509  no threads here
    )
    assert command.stdout.readline() == "follows\n"
    command.send_signal(request_to_end)
    _, said = command.communicate(timeout=300)
    assert command.returncode != 0
    assert "cxr_dataset_binary goes on in Airflow, http://127.0.0.1:8080/dags/cxr_dataset_binary/runs/cxr__1" in said
    assert "to follow it again: cxr follow cxr__1 --approve 'a reason'" in said


def test_giving_up_says_so_for_those_that_go_on_only(capsys):
    ended, goes_on = (
        triggered(f"cxr_{one}", DagRun(f"cxr_dataset_{one}", one, "")) for one in ("binary", "multilabel")
    )
    ended.ended_after_s = 3.0
    goes_on.question = "http://page"
    with pytest.raises(ServiceUnavailable), says_what_goes_on([ended, goes_on], "http://here"):
        raise ServiceUnavailable("no answer for 900 s")
    said = capsys.readouterr().err
    assert "cxr follow multilabel" in said
    assert "a person is asked at http://page" in said
    assert "cxr follow binary" not in said

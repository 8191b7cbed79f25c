"""A failure is read while the run goes on (``tests/tell_failures.py``)."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cxr_tasks.installation.storage.paths import PROJECT_ROOT

TESTS = """
import time
from pathlib import Path

def test_a():
    assert 1 == 2, "the reason"

def test_b():
    while not Path("{go_on}").exists():
        time.sleep(0.05)
"""


@pytest.mark.parametrize("side_by_side", [[], ["-n", "1"]])
def test_a_failure_is_printed_before_the_next_test_ends(tmp_path, side_by_side):
    go_on = tmp_path / "go_on"
    (tmp_path / "test_two.py").write_text(TESTS.format(go_on=go_on))
    command = [sys.executable, "-m", "pytest", "-p", "tests.tell_failures", "-p", "no:cacheprovider", *side_by_side]
    run = subprocess.Popen(
        [*command, "--rootdir", str(tmp_path), "-c", "/dev/null", str(tmp_path)],
        cwd=PROJECT_ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        told = []
        for line in run.stdout:
            told.append(line)
            if told[-1].startswith("FAILED just now"):
                break
        go_on.touch()
        rest = run.stdout.read()
    finally:
        go_on.touch()
        assert run.wait(timeout=120) == 1
        run.stdout.close()
    assert "test_two.py::test_a (call)" in told[-1]
    assert rest.index("the reason") < rest.index("= FAILURES =")
    assert "1 failed, 1 passed" in rest

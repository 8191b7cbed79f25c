"""Waiting for what must come: how long it takes says nothing about the code on a machine that does other work too."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import TypeVar

from cxr_tasks.installation.settings import StackSettings

#: Below the limit of a test (pyproject.toml), so that what was waited for is told before the test is ended.
PATIENCE_S = 800.0

Value = TypeVar("Value")


def wait_until(
    is_so: Callable[[], Value],
    what: str = "what is waited for here",
    *,
    of: subprocess.Popen | None = None,
    tell: Callable[[], object] = str,
    patience_s: float = PATIENCE_S,
    pause_s: float = 0.1,
) -> Value:
    """The first true value of ``is_so``, asked every ``pause_s``.

    Args:
        what: What is waited for, where the line that waits does not say it.
        of: The process that brings it about; its end before ``is_so`` fails at once.
        tell: Gives what a failure should show as well, such as the process's log.
    """
    end = time.monotonic() + patience_s
    while not (value := is_so()):
        assert of is None or of.poll() is None, f"ended with {of.returncode} before: {what}\n{tell()}"
        assert time.monotonic() < end, f"not within {patience_s:.0f} s: {what}\n{tell()}"
        time.sleep(pause_s)
    return value


def mlflow_answers(settings: StackSettings) -> bool:
    """Whether the MLflow server of a stack answers at all."""
    import requests

    try:
        return requests.get(f"{settings.mlflow_url}/health", timeout=60).ok
    except requests.RequestException:
        return False

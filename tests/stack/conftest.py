"""Settings of a stack of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxr_tasks.installation.settings import PORT_VARIABLES, StackSettings
from tests.own_stack import free_ports


@pytest.fixture
def dags(tmp_path: Path) -> Path:
    """An empty folder of DAGs."""
    folder = tmp_path / "dags"
    folder.mkdir()
    return folder


@pytest.fixture
def settings(cxr_home: Path, dags: Path) -> StackSettings:
    """A stack in a run-time folder of the test's own, on free ports, not started."""
    return StackSettings(home=cxr_home, dags=dags, **dict(zip(PORT_VARIABLES, free_ports(), strict=True)))

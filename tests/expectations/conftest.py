"""What a suite says of a small table, without the stage around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def failed_rules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., dict[str, str]]]:
    """``failed_rules(table, suite, column)``: sentence -> severity of the rules about ``column`` that are not met."""
    from cxr_tasks.validate.checkpoint import CheckedTable, run_checkpoints

    docs: Path = tmp_path_factory.mktemp("docs")

    def run(table: Any, suite: Any, column: str = "") -> dict[str, str]:
        checked = CheckedTable(name="table", table=table, suite=suite, row_key=())
        outcomes = run_checkpoints([checked], data_docs=docs / "data_docs").outcomes
        return {one.about: one.severity for one in outcomes if not one.success and column in ("", one.column)}

    yield run

"""What a suite says of a small table, without the stage around it and its pages: those are half of a run's time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="session")
def failed_rules() -> Callable[..., dict[str, str]]:
    """``failed_rules(table, suite, column)``: sentence -> severity of the rules about ``column`` that are not met.

    Only the rules about ``column`` are asked, all where none is named; rules about other columns than a test's table
    has would each fail with a traceback that nobody reads.
    """
    from cxr_tasks.validate.checkpoint import CheckedTable, memory_context, outcomes_in

    def run(table: Any, suite: Any, column: str = "") -> dict[str, str]:
        if column:
            suite.expectations = [one for one in suite.expectations if getattr(one, "column", "") == column]
            assert suite.expectations, f"{suite.name} has no rule about {column}"
        checked = CheckedTable(name="table", table=table, suite=suite, row_key=())
        outcomes = outcomes_in(memory_context(), [checked])
        assert len(outcomes) == len(suite.expectations)
        return {one.about: one.severity for one in outcomes if not one.success}

    return run

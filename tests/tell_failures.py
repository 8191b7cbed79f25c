"""Each failure is printed as it happens, so that a run that is cut off has told what failed until then."""

from __future__ import annotations

import pytest

#: Of a failure's text, the end: what was expected, and where. All of it is in the summary.
LAST_LINES = 30


class TellFailures:
    """Writes the name and the end of the text of each failed test, in the process that has the terminal."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if terminal is None or not report.failed:
            return
        terminal.write_line("")  # behind the dots of those before
        terminal.write_line(f"FAILED just now: {report.nodeid} ({report.when})", red=True, bold=True)
        for line in report.longreprtext.splitlines()[-LAST_LINES:]:
            terminal.write_line(f"  {line}")
        terminal.flush()


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # of pytest-xdist: workers have no terminal
        config.pluginmanager.register(TellFailures(config))

"""A clock set back in the log, what must stay of the run-time folder, and advice that can be followed."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cxr_tasks.backup.units import UNITS
from cxr_tasks.cli.doctor.findings import clock_findings, kept_findings
from cxr_tasks.cli.main import build_parser
from cxr_tasks.installation.storage.paths import PROJECT_ROOT
from cxr_tasks.registry.audit.chain import AuditEntry, sealed


def entries(*seconds: float) -> list[AuditEntry]:
    start = datetime(2026, 11, 29, 6, 0, tzinfo=UTC)
    return [
        sealed(
            seq=number,
            at=(start + timedelta(seconds=after)).isoformat(timespec="milliseconds"),
            kind="served",
            model="cxr_binary",
            version=number,
            who="x",
            why="",
            fingerprint="",
            detail={},
            previous="",
        )
        for number, after in enumerate(seconds, start=1)
    ]


@pytest.mark.parametrize("seconds", [(), (0,), (0, 5, 5, 10), (0, 10, 9.5)])
def test_clock_that_goes_on_is_no_finding(seconds):
    assert clock_findings(entries(*seconds)) == []


def test_clock_set_back_is_told_with_both_entries():
    (found,) = clock_findings(entries(0, 7200, 3600, 3700))
    assert found.level == "WARN"
    assert "seq 3 is dated 2026-11-29T07:00:00.000+00:00, 1:00:00 before seq 2" in found.text
    assert "time server" in found.todo


def test_what_must_stay_and_what_may_go_is_told_with_sizes(cxr_home: Path):
    for name, size in {
        "audit/log.jsonl": 10,
        "runs/x/table": 3 * 2**20,
        "requests/a": 5 * 2**20,
        "unheard/of": 1,
    }.items():
        (cxr_home / name).parent.mkdir(parents=True)
        (cxr_home / name).write_bytes(b"0" * size)
    assert [one.text for one in kept_findings()] == [
        "must stay: audit (0.0 MiB), unheard (0.0 MiB)",
        "may go: runs (3.0 MiB), requests (5.0 MiB)",
    ]


def test_every_folder_that_the_code_makes_is_accounted_for():
    """By the words after ``home() /`` in the source."""
    known = {one.path.partition("/")[0] for one in UNITS}
    named = set()
    for folder in ("cxr_tasks", "serving", "dags"):
        for path in (PROJECT_ROOT / folder).rglob("*.py"):
            named |= set(re.findall(r'\bhome\(\) / "([a-z_]+)"', path.read_text(encoding="utf-8")))
    assert named - known == set()


def test_advice_names_commands_that_exist():
    (subparsers,) = [one for one in build_parser()._actions if hasattr(one, "choices") and one.choices]
    commands = set(subparsers.choices)
    targets = set(re.findall(r"^([a-z]+):", (PROJECT_ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for folder in ("cxr_tasks", "serving", "dags"):
        for path in (PROJECT_ROOT / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert set(re.findall(r"'cxr ([a-z]+)", text)) <= commands, path
            assert set(re.findall(r"'make ([a-z]+)", text)) <= targets, path

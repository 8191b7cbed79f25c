"""``cxr doctor``: what of this installation is well, what is not, and what to do."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict

from rich.text import Text

from cxr_tasks.cli.console import PlainConsole
from cxr_tasks.cli.doctor.findings import (
    Finding,
    anchor_findings,
    audit_findings,
    copy_findings,
    disk_findings,
    kept_findings,
    private_findings,
    worst,
)
from cxr_tasks.cli.doctor.serving import serving_findings, stack_findings
from cxr_tasks.cli.doctor.volume import volume_findings
from cxr_tasks.installation.settings import StackSettings, client_environment
from cxr_tasks.registry.audit import anchors, trail

STYLES = {"OK": "green", "WARN": "yellow", "FAIL": "bold red"}


def add_doctor_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def doctor_command(options: argparse.Namespace) -> int:
    """Exit code 1 where a check failed; a warning is none."""
    checks = findings()
    if options.json:
        print(json.dumps({"worst": worst(checks), "findings": [asdict(check) for check in checks]}, indent=2))
    else:
        show(checks)
    return 1 if worst(checks) == "FAIL" else 0


def findings() -> list[Finding]:
    """All checks, in the order to read them. Those that need the stack are left out while it is down."""
    settings = StackSettings.load()
    is_up = settings.record.is_file()
    if is_up:
        # One try: what does not answer now is what a person wants to hear of.
        os.environ.update({**client_environment(settings), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"})
    checks = [*stack_findings(settings), *serving_findings(settings, is_up=is_up), *audit_findings()]
    if anchors.registry_is_there():
        checks += anchor_findings(trail.stated())
    checks += copy_findings()
    return [*checks, *private_findings(), *volume_findings(), *disk_findings(), *kept_findings()]


def show(results: list[Finding]) -> None:
    console = PlainConsole(soft_wrap=True, no_color=None if sys.stdout.isatty() else True)
    for finding in results:
        console.print(
            Text.assemble((f"{finding.level:<4}", STYLES[finding.level]), f"  {finding.check}: {finding.text}")
        )
        if finding.todo:
            console.print(Text(f"      -> {finding.todo}"))
    counts = {level: sum(finding.level == level for finding in results) for level in STYLES}
    console.print(f"{counts['OK']} well, {counts['WARN']} to know of, {counts['FAIL']} failed")

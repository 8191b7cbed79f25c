"""Arguments of the commands that change or compare what serves: ``rollback``, ``canary``, ``compare``."""

from __future__ import annotations

import argparse

from cxr_tasks.cli.commands import add_command, lazily


def add_serving_commands(commands: argparse._SubParsersAction) -> None:
    rollback = add_command(
        commands,
        "rollback",
        lazily("rollback"),
        "let the version before the present one serve again: registry and model server together",
        'cxr rollback cxr_binary --reason "misses effusions on portable images"',
    )
    rollback.add_argument("model", help="name in the registry")
    rollback.add_argument("--reason", required=True, metavar="TEXT", help="why; kept in the audit log")

    canary = add_command(
        commands,
        "canary",
        lazily("canary"),
        "serve a second version under label 'canary', or end that",
        "cxr canary cxr_binary 7   # and when it has been compared: cxr canary cxr_binary --end",
    )
    canary.add_argument("model", help="name in the registry")
    which = canary.add_mutually_exclusive_group(required=True)
    which.add_argument("version", type=int, nargs="?", help="a version that may serve")
    which.add_argument("--end", action="store_true", help="take the canary away")
    canary.add_argument("--reason", default="", metavar="TEXT", help="why; kept in the audit log")

    compare = add_command(
        commands,
        "compare",
        lazily("compare"),
        "send recorded requests to the version that serves and to the canary, and show what differs",
        "cxr compare cxr_binary --images ~/chest_xray/test",
    )
    compare.add_argument("model", help="name in the registry")
    compare.add_argument("--images", metavar="DIR", help="a folder of images instead of recorded requests")
    compare.add_argument(
        "--limit",
        type=int,
        default=500,
        help="at most so many images, newest requests first (default: %(default)s)",
    )
    for one in (rollback, canary):
        one.add_argument("--by", default="", metavar="NAME", help="who does it; default: the login name")
    for one in (rollback, canary, compare):
        one.add_argument("--json", action="store_true", help="print the outcome as JSON")

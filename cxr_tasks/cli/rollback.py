"""``cxr rollback``: the former version back at once."""

from __future__ import annotations

import argparse
import json
import os

from cxr_tasks.contracts.shapes import plain
from cxr_tasks.installation.settings import StackSettings, client_environment, require_up
from cxr_tasks.registry.audit import trail
from serving.release.rollback import roll_back


def add_rollback_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="name in the registry")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why; kept in the audit log")
    parser.add_argument("--by", default="", metavar="NAME", help="who does it; default: the login name")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def rollback_command(options: argparse.Namespace) -> int:
    settings = StackSettings.load()
    require_up(settings)
    os.environ.update(client_environment(settings))
    done = roll_back(options.model, settings, who=trail.who(options.by), why=options.reason)
    if options.json:
        print(json.dumps(plain(done)))
    else:
        print(
            f"{done.model_name}: version {done.version} is champion and serves again after {done.seconds:.1f} s; "
            f"version {done.taken_back} was taken back"
        )
    return 0

"""``cxr canary``: a second version beside the one that serves."""

from __future__ import annotations

import argparse
import json
import os

from cxr_tasks.installation.settings import StackSettings, client_environment, require_up
from cxr_tasks.registry.audit import trail
from serving.release.canary import end_canary, start_canary


def add_canary_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="name in the registry")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("version", type=int, nargs="?", help="a version that may serve")
    which.add_argument("--end", action="store_true", help="take the canary away")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why; kept in the audit log")
    parser.add_argument("--by", default="", metavar="NAME", help="who does it; default: the login name")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def canary_command(options: argparse.Namespace) -> int:
    settings = StackSettings.load()
    require_up(settings)
    os.environ.update(client_environment(settings))
    who = trail.who(options.by)
    if options.end:
        version, text = end_canary(options.model, settings, who=who, why=options.reason), "is no canary any more"
    else:
        version, text = options.version, "serves under label 'canary'"
        start_canary(options.model, version, settings, who=who, why=options.reason)
    if options.json:
        print(json.dumps({"model": options.model, "version": version, "is_canary": not options.end}))
    else:
        print(f"{options.model} version {version} {text}")
    return 0

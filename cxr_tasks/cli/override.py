"""``cxr override``: let a version serve that the gate did not pass, by name and with a reason."""

from __future__ import annotations

import argparse
import json
import os

from cxr_tasks.contracts.shapes import plain
from cxr_tasks.installation.settings import StackSettings, client_environment, require_up
from cxr_tasks.registry.audit import trail
from cxr_tasks.registry.overrides import record_override
from serving.served.state import retry_release


def add_override_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="name in the registry")
    parser.add_argument("version", type=int, help="number of the version")
    parser.add_argument("--by", required=True, metavar="NAME", help="the person who answers for it")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why it may serve nevertheless")
    parser.add_argument("--json", action="store_true", help="print the override as JSON")


def override_command(options: argparse.Namespace) -> int:
    settings = StackSettings.load()
    require_up(settings)
    os.environ.update(client_environment(settings))
    made = record_override(options.model, options.version, trail.who(options.by), options.reason)
    is_tried_again = retry_release(options.model, options.version)
    if options.json:
        print(json.dumps({"model": options.model, "version": options.version, **plain(made)}))
    else:
        print(f"{options.model} version {options.version} may serve by override of {made.by}: {made.reason}")
        if is_tried_again:
            print("its release, which was refused, is tried again within seconds if it is still champion")
        else:
            print(f"to let it serve: cxr promote {options.model} {options.version} --reason TEXT")
    return 0

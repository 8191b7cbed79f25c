"""``cxr canary``: a second version beside the one that serves."""

from __future__ import annotations

import argparse
import json
import os

from cxr_tasks.installation.settings import StackSettings, client_environment, require_up
from cxr_tasks.registry.audit import trail
from serving.release.canary import end_canary, start_canary


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

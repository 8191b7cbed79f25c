"""``cxr override``: let a version serve that the gate did not pass, by name and with a reason."""

from __future__ import annotations

import argparse
import json
import os

from cxr_tasks.contracts.shapes import plain
from cxr_tasks.registry.overrides import record_override
from cxr_tasks.stack.settings import StackSettings, client_environment, require_up


def override_command(options: argparse.Namespace) -> int:
    settings = StackSettings.load()
    require_up(settings)
    os.environ.update(client_environment(settings))
    made = record_override(options.model, options.version, options.by, options.reason)
    if options.json:
        print(json.dumps({"model": options.model, "version": options.version, **plain(made)}))
    else:
        print(f"{options.model} version {options.version} may serve by override of {made.by}: {made.reason}")
    return 0

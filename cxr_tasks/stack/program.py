"""What supervisord starts for each program: clear away what an earlier instance left, then become the program.

When a program is killed, its own children live on (Airflow's workers with their tasks, a server's listener) and
would run a task twice or hold a port; supervisord knows only the process it started.
"""

from __future__ import annotations

import os
import sys

from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.stack.marked_processes import leftovers, stop_processes
from cxr_tasks.stack.programs import BY_NAME, program_environment


def main(name: str) -> None:
    """Become the program ``name``; does not return."""
    settings = StackSettings.load()
    program = BY_NAME[name]
    os.umask(0o077)
    found = leftovers(settings.home, program=name)
    if found:
        print(f"stopping {len(found)} processes that an earlier {name} left: {[one.pid for one in found]}", flush=True)
        stop_processes(found, patience_s=5)
    os.environ.update(program_environment(program, settings))
    # Behind a proxy with TLS, links and cookies are those of what people typed.
    behind_proxy = ["--proxy-headers"] if name == "api-server" and settings.engines.public_url else []
    os.execv(sys.executable, [sys.executable, *program.arguments, *behind_proxy])  # noqa: S606  no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1])

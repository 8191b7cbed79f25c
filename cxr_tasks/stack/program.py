"""What supervisord starts for each program: clear away what an earlier instance left, then become the program.

When a program is killed, its own children live on (Airflow's workers with their tasks, a server's listener) and
would run a task twice or hold a port; supervisord knows only the process it started.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from cxr_tasks.installation.logins import writable_passwords
from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.stack.marked_processes import leftovers, stop_processes
from cxr_tasks.stack.programs import BY_NAME, program_environment


def main(name: str) -> None:
    """Become the program ``name``; does not return."""
    settings = StackSettings.load()
    program = BY_NAME[name]
    os.umask(0o077)
    running = leftovers(settings.home, program=name)
    if running:
        print(
            f"stopping {len(running)} processes that an earlier {name} left: {[process.pid for process in running]}",
            flush=True,
        )
        stop_processes(running, patience_s=5)
    os.environ.update(program_environment(program, settings))
    if name == "api-server":
        os.environ.update(passwords_to_write(settings.secrets))
    # Behind a proxy with TLS, links and cookies are those of what people typed.
    behind_proxy = ["--proxy-headers"] if name == "api-server" and settings.engines.public_url else []
    os.execv(sys.executable, [sys.executable, *program.arguments, *behind_proxy])  # noqa: S606  no shell is wanted


def passwords_to_write(secrets: Path) -> dict[str, str]:
    """The setting that names a copy of Airflow's passwords, where the file itself may not be written.

    Airflow opens the file for writing although each of its users is in it, and a secret of a container is mounted
    read-only.
    """
    place = writable_passwords(secrets)
    return {"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(place)} if place != secrets / place.name else {}


if __name__ == "__main__":
    main(sys.argv[1])

"""``python -m cxr_tasks.stack up|down|status|logs|login|before-upgrade|migrate``: the stack from the command line."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence

from rich.console import Console

from cxr_tasks.contracts.errors import CxrError
from cxr_tasks.installation.folders import settle_user_home
from cxr_tasks.installation.settings import StackSettings, require_up
from cxr_tasks.installation.storage.locks import file_lock
from cxr_tasks.installation.storage.paths import home
from cxr_tasks.installation.storage.space import MIB, room_for
from cxr_tasks.stack.show import log_files, print_logins, print_logs, print_orphans, print_status, stack_status
from cxr_tasks.stack.start import HEALTHY_TIMEOUT_S, make_pools, up
from cxr_tasks.stack.stop import down
from cxr_tasks.stack.upgrade import before, migrate, prepare

#: Databases, logs and a first dataset; with less a program of the stack ends at its first write, which says nothing.
NEEDED_BYTES = 128 * MIB


def parser() -> argparse.ArgumentParser:
    main_parser = argparse.ArgumentParser(
        prog="python -m cxr_tasks.stack",
        description="Airflow, MLflow and the model server on this machine, loopback only.",
        epilog="Ports: CXR_AIRFLOW_PORT, CXR_MLFLOW_PORT, CXR_GRPC_PORT, CXR_REST_PORT. Run-time folder: CXR_HOME.",
    )
    commands = main_parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("up", help="start what is not running and wait until all is healthy")
    start.add_argument("--timeout", type=float, default=HEALTHY_TIMEOUT_S, metavar="SECONDS")
    commands.add_parser("down", help="stop every process of the stack")
    status = commands.add_parser("status", help="one row per program; exit code 1 unless all are healthy")
    status.add_argument("--json", action="store_true")
    logs = commands.add_parser("logs", help="the last log lines of one program, or of all")
    logs.add_argument("name", nargs="?", metavar="NAME")
    logs.add_argument("-n", "--lines", type=int, default=20)
    logs.add_argument("-f", "--follow", action="store_true")
    commands.add_parser("before-upgrade", help="stop every process and back up the databases")
    commands.add_parser("migrate", help="bring the databases to the schema of what is installed; the stack is down")
    commands.add_parser("prepare", help="files and databases of a start whose programs others start (containers)")
    commands.add_parser("pools", help="give Airflow's pools their slots, once its API answers")
    commands.add_parser("login", help="addresses, names and passwords of the web pages")
    return main_parser


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    os.umask(0o077)
    try:
        settle_user_home(os.environ)
        with room_for("the stack", NEEDED_BYTES if options.command == "up" else 0):
            return _run(options, console)
    except CxrError as error:
        Console(stderr=True, highlight=False, markup=False).print(str(error), style="red", soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(options: argparse.Namespace, console: Console) -> int:
    if options.command == "up":
        began = time.monotonic()
        # As Ctrl-C does: what was started is stopped. The default would leave it half-started.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        with one_at_a_time(console):
            settings = up(console, timeout_s=options.timeout)
        console.print(f"the stack is up after {time.monotonic() - began:.0f} s")
        _print_entrances(console, settings)
        return 0
    if options.command == "down":
        with one_at_a_time(console):
            down(console)
        return 0
    if options.command in ("before-upgrade", "migrate"):
        with one_at_a_time(console):
            before(console) if options.command == "before-upgrade" else migrate(console)
        return 0
    if options.command == "prepare":
        prepare(console)
        return 0
    settings = StackSettings.load()
    if options.command == "pools":
        make_pools(settings)
        return 0
    if options.command == "status":
        rows = stack_status(settings)
        if options.json:
            print(json.dumps(rows, indent=2))
        else:
            print_status(console, rows)
            print_orphans(console, settings)
        return 0 if all(row["is_healthy"] for row in rows) else 1
    if options.command == "logs":
        print_logs(console, log_files(settings, options.name), n_lines=options.lines, follow=options.follow)
        return 0
    require_up(settings)
    print_logins(console, settings)
    return 0


def _print_entrances(console: Console, settings: StackSettings) -> None:
    """The logins, but only to a terminal: output that goes to a file or a build's log is read by others."""
    if console.is_terminal:
        print_logins(console, settings)
    else:
        console.print(f"Airflow {settings.airflow_page}, MLflow {settings.mlflow_page}; 'make login' shows the logins")


@contextlib.contextmanager
def one_at_a_time(console: Console) -> Iterator[None]:
    """Hold the run-time folder's lock: two starts at once would each stop what the other started."""
    folder = home() / "stack"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def say() -> None:
        console.print("waiting for another 'up' or 'down' of this stack to end")

    with file_lock(folder / "lock", what="the stack", purpose="'up' or 'down'", on_wait=say):
        yield


if __name__ == "__main__":
    sys.exit(main())

"""``python -m cxr_tasks.stack.worker``: a Celery worker of this stack, on this machine or on another.

What it shares with the stack is the volume of ``CXR_HOME``, mounted at the same path, and the network: Airflow's API
server, MLflow, the broker and the store. All else it reads from the run-time folder, so ``make up`` comes first.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path

from cxr_tasks.contracts.errors import ConfigurationError, CxrError, nearest
from cxr_tasks.installation.engines import CELERY
from cxr_tasks.installation.folders import settle_user_home
from cxr_tasks.installation.settings import StackSettings, require_up
from cxr_tasks.stack.marked_processes import PROGRAM_MARK
from cxr_tasks.stack.pools import GPU_QUEUE, QUEUES, training_slots
from cxr_tasks.stack.programs import airflow_environment, inherited_environment

NO_DATABASE = "postgresql+psycopg2://no-database-for-workers.invalid/none"
ALL_QUEUES = tuple(dict.fromkeys((*QUEUES.values(), GPU_QUEUE)))


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python -m cxr_tasks.stack.worker",
        description="Run tasks of the stack whose CXR_HOME this machine shares, until it is stopped.",
        epilog="Example: CXR_HOME=/mnt/cxr python -m cxr_tasks.stack.worker --queues gpu --slots 1",
    )
    options.add_argument(
        "--queues",
        default=",".join(ALL_QUEUES),
        help="which tasks it takes, separated by commas (default: %(default)s)",
    )
    options.add_argument("--slots", type=int, default=training_slots(), help="tasks at once (default: %(default)s)")
    options.add_argument("--name", default="", help="of the worker, where one machine runs several")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    os.umask(0o077)
    try:
        settle_user_home(os.environ)
        settings = StackSettings.load()
        command = worker_command(settings, options.queues, options.slots, options.name)
        environment = inherited_environment(settings, os.environ) | airflow_environment(settings)
        if not (settings.secrets / "airflow_database").is_file():
            # Airflow wants an address when it starts, which a worker never uses and need not be given.
            environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = NO_DATABASE
    except CxrError as error:
        print(error, file=sys.stderr)
        return 1
    os.execve(sys.executable, command, {**environment, PROGRAM_MARK: "worker"})  # noqa: S606  no shell is wanted


def worker_command(settings: StackSettings, queues: str, slots: int, name: str) -> list[str]:
    """The command of a worker of the running stack.

    Raises:
        ServiceUnavailable: The stack of this run-time folder is not up.
        ConfigurationError: It has no CeleryExecutor, a queue is not known, or there is not a slot.
    """
    require_up(settings)
    if not settings.engines.is_celery:
        raise ConfigurationError(
            f"the stack of {settings.home} runs on {settings.engines.executor}, which has no workers; "
            f"start it with CXR_EXECUTOR={CELERY}"
        )
    for queue in queues.split(","):
        if queue not in ALL_QUEUES:
            known = ", ".join(ALL_QUEUES)
            raise ConfigurationError(f"--queues {queues}: expected some of {known}{nearest(queue, ALL_QUEUES)}")
    if slots < 1:
        raise ConfigurationError(f"--slots {slots}: expected a number of tasks, 1 or more")
    host = socket.gethostname()
    own = uuid.uuid4().hex[:12]
    return [
        *(sys.executable, "-m", "cxr_tasks.stack.servers.worker"),
        *("--queues", queues, "--concurrency", str(slots)),
        # Two containers of one name, or two workers of one machine, are two workers all the same.
        *("--celery-hostname", f"{name}-{own}@{host}" if name else f"{own}@{host}"),
        # Airflow's own place for it is in the run-time folder, where the second worker would find the first one's.
        *("--pid", str(Path(tempfile.gettempdir()) / f"cxr-worker-{own}.pid")),
        # Logs go to the volume or to the store; a log server would be one more open port.
        *("--skip-serve-logs", "--without-gossip", "--without-mingle"),
    ]


if __name__ == "__main__":
    sys.exit(main())
